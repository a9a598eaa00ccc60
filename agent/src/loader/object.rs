//! The kernel programs, as the build script made them.

/// The object to load: with diagnostics of the slow path, or without.
pub fn bytes(log: bool) -> &'static [u8] {
    if log { LOGGING } else { DEFAULT }
}

/// What the benchmark puts before the programs.
pub fn bench_bytes() -> &'static [u8] {
    BENCH
}

static DEFAULT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/zonegate.bpf.o"));
static LOGGING: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/zonegate-log.bpf.o"));
static BENCH: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/zonegate-bench.bpf.o"));
