//! Says at the agent's own `Node` whether it is ready: a condition, and the startup taint's end.

use std::time::Duration;

use json_patch::{
    Patch as JsonPatch, PatchOperation, RemoveOperation, TestOperation, jsonptr::PointerBuf,
};
use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams},
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    conditions::{self, now},
    kinds::api,
    seen::{Condition, STARTUP_TAINT, Seen},
};
use crate::kubernetes::ObjectKey;

/// Keeps the `Node` told of `ready` until nobody follows it any more; `own` is the `Node` as it was
/// heard of last, `None` while there is none.
pub(super) async fn run(
    client: Client,
    node: ObjectKey,
    mut own: watch::Receiver<Option<Seen>>,
    mut ready: watch::Receiver<bool>,
) {
    let api = api(client, node.kind);
    let mut failed = None;
    loop {
        let (known, is_ready) = (own.borrow_and_update().clone(), *ready.borrow_and_update());
        let said = match known {
            Some(known) => say(&api, &node, &known, is_ready, &mut ready).await,
            None => Ok(()),
        };
        let why = said.err().map(|error| error.to_string());
        if let Some(why) = &why
            && failed.as_ref() != Some(why)
        {
            tracing::warn!("{node} cannot be told whether it is ready: {why}");
        }
        let pause = if why.is_some() { RETRY } else { Duration::MAX };
        failed = why;
        let followed = tokio::select! {
            changed = own.changed() => changed.is_ok(),
            changed = ready.changed() => changed.is_ok(),
            () = sleep(pause) => true,
        };
        if !followed {
            return;
        }
    }
}

async fn say(
    api: &Api<DynamicObject>,
    node: &ObjectKey,
    known: &Seen,
    is_ready: bool,
    ready: &mut watch::Receiver<bool>,
) -> kube::Result<()> {
    let before = known.condition.as_deref();
    if !before.is_some_and(|it| it.says(&condition(is_ready))) {
        let was_ready = before.is_some_and(|it| it.holds);
        if was_ready && !is_ready {
            // An agent that starts again is ready soon, and packets go on meanwhile.
            if let Ok(changed) = timeout(PATIENCE, ready.changed()).await {
                if changed.is_ok() {
                    // For the caller, who looks again.
                    ready.mark_changed();
                }
                return Ok(());
            }
        }
        conditions::write(api, node, &condition(is_ready)).await?;
    }
    match known.startup_taint {
        Some(index) if is_ready => remove_taint(api, node, index).await,
        _ => Ok(()),
    }
}

fn condition(ready: bool) -> Condition {
    let (reason, message) = match ready {
        true => ("InForce", "services and policies are in force"),
        false => ("NotInForce", "the agent does not follow services and policies yet"),
    };
    let (reason, message) = (reason.to_owned(), message.to_owned());
    Condition { holds: ready, reason, message, generation: 0, since: now() }
}

/// Only where it still is: taints have no keys in patches, and others change them too.
async fn remove_taint(
    api: &Api<DynamicObject>,
    node: &ObjectKey,
    index: usize,
) -> kube::Result<()> {
    let index = index.to_string();
    let taint = ["spec", "taints", &index];
    let key = ["spec", "taints", &index, "key"];
    let patch = JsonPatch(vec![
        PatchOperation::Test(TestOperation {
            path: PointerBuf::from_tokens(key),
            value: STARTUP_TAINT.into(),
        }),
        PatchOperation::Remove(RemoveOperation { path: PointerBuf::from_tokens(taint) }),
    ]);
    let patch = Patch::<()>::Json(patch);
    api.patch(&node.name, &PatchParams::default(), &patch).await?;
    tracing::info!("removed the taint {STARTUP_TAINT} from {node}");
    Ok(())
}

/// So long an agent may be not ready before the node says so.
const PATIENCE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(10);
