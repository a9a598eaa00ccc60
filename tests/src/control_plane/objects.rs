//! Objects of the apiserver, as tests write them.

use anyhow::{Context, Result};
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};

use super::ControlPlane;

impl ControlPlane {
    /// Has an object be as it is given; with its status, if it has one, which is written by
    /// somebody else in a cluster.
    pub fn apply(&self, object: &Value) -> Result<()> {
        let mut desired = object.clone();
        let status = desired.as_object_mut().and_then(|fields| fields.remove("status"));
        self.patch(&desired, false)?;
        let Some(status) = status else { return Ok(()) };
        let metadata = json!({ "name": object["metadata"]["name"] });
        let (version, kind) = (&object["apiVersion"], &object["kind"]);
        let mut patch =
            json!({ "apiVersion": version, "kind": kind, "metadata": metadata, "status": status });
        if let Some(namespace) = object["metadata"].get("namespace") {
            patch["metadata"]["namespace"] = namespace.clone();
        }
        self.patch(&patch, true)
    }

    /// Deletes an object at once, if it is there.
    pub fn delete(&self, object: &Value) -> Result<()> {
        let (api, name) = self.api(object)?;
        let parameters = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        let deleted = self.ask(async move {
            match api.delete(&name, &parameters).await {
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                other => other.map(drop),
            }
        });
        deleted.with_context(|| format!("deleting {}", object["metadata"]))
    }

    /// Begins to delete an object, as `kubectl` does: a pod goes on for its grace period.
    pub fn begin_to_delete(&self, object: &Value) -> Result<()> {
        let (api, name) = self.api(object)?;
        self.ask(async move { api.delete(&name, &DeleteParams::default()).await.map(drop) })
            .with_context(|| format!("deleting {}", object["metadata"]))
    }

    /// The object as the apiserver has it; of the one given only what it is called counts.
    pub fn read(&self, object: &Value) -> Result<Value> {
        let (api, name) = self.api(object)?;
        let read = self.ask(async move { api.get(&name).await });
        let read = read.with_context(|| format!("reading {}", object["metadata"]))?;
        Ok(serde_json::to_value(read)?)
    }

    /// All objects of a kind in a namespace.
    pub fn list(&self, version: &str, kind: &str, namespace: &str) -> Result<Vec<Value>> {
        let metadata = json!({ "name": "-", "namespace": namespace });
        let any = json!({ "apiVersion": version, "kind": kind, "metadata": metadata });
        let (api, _) = self.api(&any)?;
        let listed = self.ask(async move { api.list(&ListParams::default()).await })?;
        Ok(listed.into_iter().map(serde_json::to_value).collect::<Result<_, _>>()?)
    }

    /// All objects of a kind, as they would be read one by one; none where the kind is unknown.
    pub fn list_all(&self, version: &str, kind: &str) -> Result<Vec<Value>> {
        let any = json!({ "apiVersion": version, "kind": kind, "metadata": { "name": "-" } });
        let (api, _) = self.api(&any)?;
        let listed = self.ask(async move {
            match api.list(&ListParams::default()).await {
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
                other => other.map(|list| list.items),
            }
        });
        let mut objects = Vec::new();
        for object in listed.with_context(|| format!("listing all of {kind}"))? {
            let mut object = serde_json::to_value(object)?;
            // Items of lists do not say what they are.
            object["apiVersion"] = version.into();
            object["kind"] = kind.into();
            objects.push(object);
        }
        Ok(objects)
    }

    /// Whether the apiserver has the object.
    pub fn has(&self, object: &Value) -> Result<bool> {
        let (api, name) = self.api(object)?;
        let found = self.ask(async move { api.get_opt(&name).await });
        Ok(found.with_context(|| format!("reading {}", object["metadata"]))?.is_some())
    }

    fn patch(&self, object: &Value, status: bool) -> Result<()> {
        let (api, name) = self.api(object)?;
        let patch = object.clone();
        let patched = self.ask(async move {
            if status {
                // Two addresses of a node of one type are refused in what is applied.
                let parameters = PatchParams::default();
                api.patch_status(&name, &parameters, &Patch::Merge(&patch)).await
            } else {
                let parameters = PatchParams::apply("test").force();
                api.patch(&name, &parameters, &Patch::Apply(&patch)).await
            }
        });
        patched.map(drop).with_context(|| format!("applying {object}"))
    }

    fn api(&self, object: &Value) -> Result<(Api<DynamicObject>, String)> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let version = text(&object["apiVersion"]).context("no apiVersion")?;
        let kind = text(&object["kind"]).context("no kind")?;
        let name = text(&object["metadata"]["name"]).context("no name")?;
        let (group, version) = version.split_once('/').unwrap_or(("", &version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &kind));
        let api = match text(&object["metadata"]["namespace"]) {
            Some(namespace) => Api::namespaced_with(self.client.clone(), &namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        Ok((api, name))
    }
}
