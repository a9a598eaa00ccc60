//! `ZoneGate`'s gRPC API, generated from `zonegate/v1/*.proto`.
//!
//! Messages of [`v1`] implement serde's traits in the canonical JSON mapping: `camelCase` names,
//! enum values by name, 64-bit numbers as strings, unknown fields refused.

/// The served API.
#[expect(
    clippy::pedantic,
    unused_qualifications,
    reason = "generated code; the proto files are what people read"
)]
pub mod v1 {
    tonic::include_proto!("zonegate.v1");
    include!(concat!(env!("OUT_DIR"), "/zonegate.v1.serde.rs"));
}

/// What the agent saves for its successor.
pub mod state {
    /// See `zonegate/state/v1/state.proto`.
    pub mod v1 {
        tonic::include_proto!("zonegate.state.v1");
    }
}

/// The encoded descriptors of [`v1`], for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/api.bin"));
