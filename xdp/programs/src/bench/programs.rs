//! The programs themselves.

use aya_ebpf::{
    bindings::{TC_ACT_OK, TC_ACT_SHOT, xdp_action},
    btf_maps::ProgramArray,
    macros::{btf_map, classifier, xdp},
    programs::{TcContext, XdpContext},
};

use crate::{calibrate::calibrate, restore::restore};

#[btf_map(name = "zg1_bench_xdp")]
static TAIL_XDP: ProgramArray<1> = ProgramArray::new();
#[btf_map(name = "zg1_bench_tc")]
static TAIL_TC: ProgramArray<1> = ProgramArray::new();

#[xdp]
pub fn bench_xdp(context: XdpContext) -> u32 {
    if restore(context.data(), context.data_end()) {
        // SAFETY: the target has the same program type and context.
        unsafe { TAIL_XDP.tail_call(&context, 0) };
    }
    xdp_action::XDP_ABORTED
}

#[xdp]
pub fn bench_empty_xdp(_: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

#[xdp]
pub fn bench_calibrate_xdp(context: XdpContext) -> u32 {
    if calibrate(context.data(), context.data_end()) {
        xdp_action::XDP_PASS
    } else {
        xdp_action::XDP_ABORTED
    }
}

#[classifier]
pub fn bench_tc(context: TcContext) -> i32 {
    if restore(context.data(), context.data_end()) {
        // SAFETY: as above.
        unsafe { TAIL_TC.tail_call(&context, 0) };
    }
    TC_ACT_SHOT
}

#[classifier]
pub fn bench_empty_tc(_: TcContext) -> i32 {
    TC_ACT_OK as i32
}
