//! Builds the kernel programs from source, so that the binary can embed them.
//!
//! `core` for the BPF target comes from whichever toolchain has it: Debian's rustc-web with
//! libstd-rust-web-dev-bpf, or nightly with rust-src. Three objects are made: the programs, the
//! same with diagnostics (feature `log`), and what `zonegate bench` puts before them.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// The objects: file name in `OUT_DIR`, binary, and the features it is built with.
const OBJECTS: [(&str, &str, &[&str]); 3] = [
    ("zonegate.bpf.o", "zonegate-bpf", &[]),
    ("zonegate-log.bpf.o", "zonegate-bpf", &["--features", "log"]),
    ("zonegate-bench.bpf.o", "zonegate-bench-bpf", &[]),
];

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Why there is no object.
#[derive(Debug)]
enum Error {
    NoToolchain(&'static str),
    NoLinker,
    Io(PathBuf, io::Error),
    Failed(String),
    NoVariable(&'static str),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoToolchain(target) => write!(
                f,
                "no Rust toolchain here can build for {target}. Run hack/setup, which installs \
                 rustc-web, cargo-web and libstd-rust-web-dev-bpf on Debian; elsewhere: \
                 rustup toolchain install nightly --component rust-src"
            ),
            Self::NoLinker => f.write_str(
                "bpf-linker is missing from PATH and from cargo's bin directory. Run hack/setup, \
                 or: cargo install bpf-linker --version 0.13.0 --locked (needs LLVM 22: \
                 llvm-22-dev, libpolly-22-dev, libzstd-dev, libxml2-dev)",
            ),
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Failed(command) => write!(f, "building the kernel programs failed: {command}"),
            Self::NoVariable(name) => write!(f, "cargo did not set {name}"),
        }
    }
}

fn build() -> Result<(), Error> {
    let root = variable("CARGO_MANIFEST_DIR")?.join("..");
    let out = variable("OUT_DIR")?;
    for watched in ["xdp", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    let target = match env::var("CARGO_CFG_TARGET_ENDIAN").as_deref() {
        Ok("big") => "bpfeb-unknown-none",
        _ => "bpfel-unknown-none",
    };
    let toolchain = Toolchain::find(target).ok_or(Error::NoToolchain(target))?;
    let linker = find_linker().ok_or(Error::NoLinker)?;
    let target_dir = out.join("bpf-target");

    for (object, binary, features) in OBJECTS {
        let mut command = toolchain.cargo();
        command
            .args(["build", "--locked", "--profile", "bpf", "--package", "zonegate-programs"])
            .args(["--bin", binary, "--target", target])
            .args(features)
            .args(toolchain.arguments())
            .arg("--manifest-path")
            .arg(root.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(&target_dir)
            .env("CARGO_ENCODED_RUSTFLAGS", rustflags(&linker));
        let built = target_dir.join(target).join("bpf").join(binary);
        run(&mut command)?;
        let copy = out.join(object);
        fs::copy(&built, &copy).map_err(|error| Error::Io(built, error))?;
    }
    Ok(())
}

/// A toolchain that has, or can build, `core` for the BPF target.
enum Toolchain {
    /// Debian's, with `core` prebuilt.
    Prebuilt,
    /// rustup's nightly, which builds `core` from rust-src.
    Nightly,
}

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";

impl Toolchain {
    fn find(target: &str) -> Option<Self> {
        let has = |sysroot: Option<PathBuf>, path: &str| {
            sysroot.is_some_and(|sysroot| sysroot.join("lib/rustlib").join(path).is_dir())
        };
        if Path::new(DEBIAN_CARGO).exists()
            && has(sysroot(&mut clean(DEBIAN_RUSTC)), &format!("{target}/lib"))
        {
            return Some(Self::Prebuilt);
        }
        let nightly = sysroot(clean("rustup").args(["run", "nightly", "rustc"]));
        has(nightly, "src/rust/library/core").then_some(Self::Nightly)
    }

    fn cargo(&self) -> Command {
        match self {
            Self::Prebuilt => {
                let mut command = clean(DEBIAN_CARGO);
                // The programs use intrinsics that are not stable.
                command.env("RUSTC_BOOTSTRAP", "1").env("RUSTC", DEBIAN_RUSTC);
                command
            }
            Self::Nightly => {
                let mut command = clean("rustup");
                command.args(["run", "nightly", "cargo"]);
                command
            }
        }
    }

    fn arguments(&self) -> &'static [&'static str] {
        match self {
            Self::Prebuilt => &[],
            Self::Nightly => &["-Z", "build-std=core"],
        }
    }
}

fn sysroot(rustc: &mut Command) -> Option<PathBuf> {
    let output = rustc.args(["--print", "sysroot"]).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(path.trim()))
}

/// A command without what the outer cargo set for this build.
fn clean(program: &str) -> Command {
    let ours = |name: &str| {
        ["CARGO_HOME", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR", "RUSTUP_HOME"]
            .iter()
            .any(|kept| name.starts_with(kept))
    };
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        let Some(name) = name.to_str() else { continue };
        let theirs = ["CARGO", "RUST", "DEP_"].iter().any(|prefix| name.starts_with(prefix))
            || ["TARGET", "HOST", "PROFILE", "OPT_LEVEL", "DEBUG", "MAKEFLAGS"].contains(&name);
        if theirs && !ours(name) {
            command.env_remove(name);
        }
    }
    command
}

fn rustflags(linker: &Path) -> String {
    let linker = format!("linker={}", linker.display());
    ["-C", &linker, "-C", "link-arg=--btf", "-C", "debuginfo=2", "-C", "target-cpu=v3"].join("\x1f")
}

fn find_linker() -> Option<PathBuf> {
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(cargo_home.map(|home| home.join("bin")))
        .map(|directory| directory.join("bpf-linker"))
        .find(|candidate| candidate.is_file())
}

fn run(command: &mut Command) -> Result<(), Error> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Error::Failed(format!("{command:?}: {status}"))),
        Err(error) => Err(Error::Io(PathBuf::from(command.get_program()), error)),
    }
}

fn variable(name: &'static str) -> Result<PathBuf, Error> {
    env::var_os(name).map(PathBuf::from).ok_or(Error::NoVariable(name))
}
