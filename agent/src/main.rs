//! The `zonegate` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    zonegate::cli::main()
}
