//! Verdicts, as a program and its counters tell them.

use abi::reason::{DropReason, PassReason};
use datapath::{Hook, Verdict};

/// The verdict that a hook's action and the counters that moved stand for; `None` if they do not
/// belong together. Redirects are not among them.
pub fn told(hook: Hook, did: i32, counted: &[(&'static str, u64)]) -> Option<Verdict> {
    let drops = DropReason::ALL.iter().map(|reason| Verdict::Drop(*reason));
    let passes = PassReason::ALL.iter();
    let passes = passes.flat_map(|reason| [Verdict::Pass(*reason), Verdict::Transmit(*reason)]);
    let mut verdicts = drops.chain(passes);
    verdicts.find(|it| action(hook, *it) == did && counters(*it) == counted)
}

/// What a program returns for a verdict (`enum xdp_action`, `TC_ACT_*` and `TCX_NEXT`).
#[expect(clippy::match_same_arms, reason = "the numbers of XDP and tc have nothing in common")]
pub const fn action(hook: Hook, verdict: Verdict) -> i32 {
    match (hook, verdict) {
        (Hook::UplinkIngress, Verdict::Drop(_)) => 1,
        (Hook::UplinkIngress, Verdict::Pass(_) | Verdict::Handover(_)) => 2,
        (Hook::UplinkIngress, Verdict::Transmit(_)) => 3,
        (Hook::UplinkIngress, Verdict::Redirect(..)) => 4,
        (_, Verdict::Pass(_)) => -1,
        (_, Verdict::Drop(_)) => 2,
        (_, Verdict::Transmit(_) | Verdict::Redirect(..) | Verdict::Resolve(..)) => 7,
        (_, Verdict::Miss | Verdict::Handover(_)) => panic!("nothing to expect here"),
    }
}

/// The counters that a verdict moves, in the order of their numbers.
pub fn counters(verdict: Verdict) -> Vec<(&'static str, u64)> {
    match verdict {
        Verdict::Pass(reason) => vec![(reason.name(), 1)],
        Verdict::Drop(reason) => vec![(reason.name(), 1)],
        Verdict::Transmit(reason) | Verdict::Redirect(_, reason) | Verdict::Resolve(_, reason) => {
            let mut reasons = [reason, PassReason::Forwarded];
            reasons.sort_unstable();
            reasons.map(|reason| (reason.name(), 1)).to_vec()
        }
        Verdict::Miss | Verdict::Handover(_) => Vec::new(),
    }
}
