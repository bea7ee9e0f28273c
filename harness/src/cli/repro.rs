use super::{Failure, Outcome};
/// x
#[derive(clap::Args)]
#[command(after_help = "Example:\n  kop x")]
pub struct Args {}
pub fn run(_args: &Args) -> Result<Outcome, Failure> {
    Ok(Outcome::Equivalent)
}
