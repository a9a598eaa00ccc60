//! Generates the API from the proto files, without a system `protoc`.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

/// The served API: in reflection, and readable as JSON and YAML.
const API: [&str; 3] =
    ["zonegate/v1/resources.proto", "zonegate/v1/dataplane.proto", "zonegate/v1/observe.proto"];
/// What the agent saves.
const STATE: &str = "zonegate/state/v1/state.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=zonegate");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);

    let api = protox::compile(API, ["."])?.encode_to_vec();
    fs::write(out.join("api.bin"), &api)?;
    pbjson_build::Builder::new()
        .register_descriptors(&api)?
        .btree_map(["."])
        .build(&[".zonegate.v1"])?;

    let everything = protox::compile(API.into_iter().chain([STATE]), ["."])?;
    tonic_prost_build::configure().bytes(".").btree_map(".").compile_fds(everything)?;
    Ok(())
}
