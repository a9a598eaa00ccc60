//! One kind, listed and watched for as long as the agent runs.

use std::{mem, pin::pin, sync::Arc, time::Duration};

use futures::{Stream, StreamExt};
use kube::{
    Client, ResourceExt,
    api::DynamicObject,
    core::{ApiResource, TypeMeta},
    runtime::{
        WatchStreamExt,
        watcher::{self, Event},
    },
};
use serde_json::Value;
use tokio::{
    sync::{Notify, mpsc},
    time::sleep,
};

use super::{
    News, What, explain,
    kinds::{api, is_optional, query, resource},
    seen::{Read, Seen},
};
use crate::kubernetes::{Object, ObjectKey, ObjectKind};

/// Reports a kind until nobody listens. The first report of the objects is a whole list; so is the
/// next where the apiserver does not remember how far it was followed (410 Gone).
pub(super) async fn follow(client: Client, kind: ObjectKind, news: mpsc::Sender<News>) {
    let answered = Arc::new(Notify::new());
    let api = api(noting_answers(client, Arc::clone(&answered)), kind);
    let follower = Follower { kind, resource: resource(kind), news, answered };
    loop {
        let events = kube::runtime::watcher(api.clone(), query(kind)).default_backoff();
        match follower.pass_on(events).await {
            Ended::Unheard => return,
            Ended::Lost => {}
            Ended::Absent => {
                sleep(ABSENT.mul_f64(rand::random_range(1.0..1.5))).await;
            }
        }
    }
}

struct Follower {
    kind: ObjectKind,
    resource: ApiResource,
    news: mpsc::Sender<News>,
    /// The apiserver has answered a request. Watches without events say nothing of it.
    answered: Arc<Notify>,
}

enum Ended {
    /// Nobody listens any more.
    Unheard,
    /// What was followed so far is of no use.
    Lost,
    /// The cluster does not have the kind.
    Absent,
}

impl Follower {
    async fn pass_on(
        &self,
        events: impl Stream<Item = watcher::Result<Event<DynamicObject>>>,
    ) -> Ended {
        let mut events = pin!(events);
        let mut listed = Vec::new();
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = self.answered.notified() => {
                    if self.say(What::Answered).await.is_err() {
                        return Ended::Unheard;
                    }
                    continue;
                }
            };
            let what = match event {
                None => return Ended::Lost,
                Some(Ok(Event::Init)) => {
                    listed.clear();
                    continue;
                }
                Some(Ok(Event::InitApply(object))) => {
                    listed.push(self.read(object));
                    continue;
                }
                Some(Ok(Event::InitDone)) => What::Listed(mem::take(&mut listed)),
                Some(Ok(Event::Apply(object))) => What::Upsert(self.read(object)),
                Some(Ok(Event::Delete(object))) => What::Remove(self.key(&object)),
                Some(Err(error)) => match explain::status(&error).map(|status| status.code) {
                    // No list by that name: the definition of the kind is missing, or is gone.
                    Some(404) if is_optional(self.kind) => {
                        return match self.say(What::Listed(Vec::new())).await {
                            Ok(()) => Ended::Absent,
                            Err(_) => Ended::Unheard,
                        };
                    }
                    // The watcher lists again by itself only where a watch says so when it is open.
                    Some(410) if matches!(error, watcher::Error::WatchStartFailed(_)) => {
                        return Ended::Lost;
                    }
                    Some(410) => continue,
                    _ => What::Trouble(explain::explain(&error)),
                },
            };
            if self.say(what).await.is_err() {
                return Ended::Unheard;
            }
        }
    }

    async fn say(&self, what: What) -> Result<(), mpsc::error::SendError<News>> {
        self.news.send(News { kind: self.kind, what }).await
    }

    /// Items of lists do not say what they are.
    fn read(&self, mut object: DynamicObject) -> Read {
        let seen = Seen::of(self.kind, &object);
        object.metadata.managed_fields = None;
        object.types = Some(TypeMeta {
            api_version: self.resource.api_version.clone(),
            kind: self.resource.kind.clone(),
        });
        let document = serde_json::to_value(object).unwrap_or(Value::Null);
        Read { object: Object::parse(document), seen }
    }

    fn key(&self, object: &DynamicObject) -> ObjectKey {
        let namespace = object.namespace().unwrap_or_default();
        ObjectKey { kind: self.kind, namespace, name: object.name_any() }
    }
}

/// A client that says when the apiserver has answered with success.
fn noting_answers(client: Client, answered: Arc<Notify>) -> Client {
    let service = tower::service_fn(move |request| {
        let (client, answered) = (client.clone(), Arc::clone(&answered));
        async move {
            let response = client.send(request).await?;
            if response.status().is_success() {
                answered.notify_one();
            }
            Ok::<_, kube::Error>(response)
        }
    });
    Client::new(service, "default")
}

/// How long a kind that the cluster does not have is not asked for again, at least.
const ABSENT: Duration = Duration::from_secs(10);
