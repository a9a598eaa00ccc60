//! etcd and kube-apiserver, and who writes objects. There are no controllers: the slices of services are
//! written as the other objects.

use std::{
    cell::Cell,
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use futures::{StreamExt, TryStreamExt, stream};
use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};
use tokio::{runtime, task::JoinHandle};

use super::{
    ClusterError, objects,
    program::{Program, Scratch},
};
use crate::{
    apiserver::connect,
    bench::wire::{Namespace, command},
};

/// A control plane in a namespace of its own.
pub struct Plane {
    client: Client,
    runtime: runtime::Runtime,
    /// Ended before what they work in.
    programs: Vec<Program>,
    kubeconfig: PathBuf,
    namespace: Namespace,
    _scratch: Scratch,
    links: Cell<u8>,
}

impl Plane {
    /// Starts it with the programs of a directory, and waits until it answers.
    pub fn start(binaries: &Path) -> Result<Self, ClusterError> {
        let namespace = Namespace::create("plane")?;
        let scratch = Scratch::create(namespace.name())?;
        namespace.ip(&["link set lo up".to_owned(), format!("addr add {ADDRESS}/32 dev lo")])?;
        let key = scratch.file("service-accounts.key");
        command(Command::new("openssl").args(["genrsa", "-out", &key, "2048"]), "")?;
        fs::write(scratch.file("tokens.csv"), format!("{TOKEN},admin,admin,system:masters\n"))?;
        let kubeconfig = PathBuf::from(scratch.file("kubeconfig"));
        fs::write(&kubeconfig, configuration(&scratch.file("apiserver.crt")).to_string())?;
        let start = |name: &str, arguments: Vec<String>| {
            let mut command = namespace.command(binaries.join(name));
            command.args(arguments);
            Program::start(command, name, scratch.path())
        };
        let programs = vec![
            start("etcd", etcd(&scratch))?,
            start("kube-apiserver", apiserver(&scratch, &key))?,
        ];
        // Connections are made by the runtime's own thread, which is in the namespace.
        let runtime = namespace.run(|| {
            Ok(runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
        })?;
        wait_for(Path::new(&scratch.file("apiserver.crt")));
        let client = runtime.block_on(connect(Some(&kubeconfig)))?;
        let links = Cell::new(0);
        let mut plane =
            Self { client, runtime, programs, kubeconfig, namespace, _scratch: scratch, links };
        plane.wait()?;
        Ok(plane)
    }

    fn wait(&mut self) -> Result<(), ClusterError> {
        let latest = Instant::now() + START;
        loop {
            for program in &mut self.programs {
                program.check()?;
            }
            // The last thing that an apiserver makes for itself.
            let service = objects::service("kubernetes", Ipv4Addr::UNSPECIFIED);
            let api = self.api_of(&service);
            let made = self
                .runtime
                .spawn(async move { api.get("kubernetes").await.map_err(failed(&service)) });
            match self.join(made) {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > latest => {
                    return Err(ClusterError::NoApiserver {
                        seconds: START.as_secs(),
                        reason: error.to_string(),
                        said: self.programs.last().map(Program::said).unwrap_or_default(),
                    });
                }
                Err(_) => thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    /// With which anybody may ask for anything.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Gives a node a way to the apiserver.
    pub fn link(&self, node: &Namespace) -> Result<(), ClusterError> {
        let number = self.links.get() + 1;
        self.links.set(number);
        node.ip(&[
            format!(
                "link add api0 type veth peer name node{number} netns {}",
                self.namespace.name()
            ),
            format!("addr add 10.202.{number}.2/24 dev api0"),
            "link set api0 up".to_owned(),
        ])?;
        self.namespace.ip(&[
            format!("addr add 10.202.{number}.1/24 dev node{number}"),
            format!("link set node{number} up"),
        ])?;
        Ok(node.ip(&[format!("route add {ADDRESS} via 10.202.{number}.1")])?)
    }

    /// Creates objects, many at a time; with their status, if they have one, which is written by
    /// somebody else in a cluster.
    pub fn create(
        &self,
        objects: impl Iterator<Item = Value> + Send + 'static,
    ) -> Result<(), ClusterError> {
        let objects: Vec<_> = objects.map(|object| (self.api_of(&object), object)).collect();
        let created = self.runtime.spawn(async move {
            let create = |(api, object)| create(api, object);
            stream::iter(objects).map(create).buffer_unordered(AT_ONCE).try_collect::<()>().await
        });
        self.join(created)
    }

    /// Begins to create an object; gives when the apiserver has answered.
    pub fn begin_to_create(&self, object: Value) -> JoinHandle<Result<Instant, ClusterError>> {
        let api = self.api_of(&object);
        self.runtime.spawn(async move {
            create(api, object).await?;
            Ok(Instant::now())
        })
    }

    /// Begins to change what an object says of itself; gives when the apiserver has answered.
    pub fn begin_to_patch(&self, object: Value) -> JoinHandle<Result<Instant, ClusterError>> {
        let api = self.api_of(&object);
        self.runtime.spawn(async move {
            let (name, patch) = (name(&object), Patch::Merge(&object));
            let patched = api.patch(&name, &PatchParams::default(), &patch).await;
            patched.map_err(failed(&object))?;
            Ok(Instant::now())
        })
    }

    pub fn delete(&self, object: &Value) -> Result<(), ClusterError> {
        let (api, object) = (self.api_of(object), object.clone());
        let deleted = self.runtime.spawn(async move {
            let deleted = api.delete(&name(&object), &DeleteParams::default()).await;
            deleted.map(drop).map_err(failed(&object))
        });
        self.join(deleted)
    }

    /// Waits for what was begun.
    pub fn join<T>(&self, begun: JoinHandle<Result<T, ClusterError>>) -> Result<T, ClusterError> {
        let done = self.runtime.block_on(begun);
        done.unwrap_or_else(|cause| std::panic::resume_unwind(cause.into_panic()))
    }

    fn api_of(&self, object: &Value) -> Api<DynamicObject> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        let (group, version) = version.split_once('/').unwrap_or(("", &version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &kind));
        match object["metadata"]["namespace"].as_str() {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        }
    }
}

async fn create(api: Api<DynamicObject>, object: Value) -> Result<(), ClusterError> {
    let typed =
        |object: &Value| serde_json::from_value(object.clone()).map_err(kube::Error::SerdeError);
    let created = async {
        api.create(&PostParams::default(), &typed(&object)?).await?;
        if object["kind"] == "Pod" {
            let patch = Patch::Merge(json!({ "status": object["status"] }));
            api.patch_status(&name(&object), &PatchParams::default(), &patch).await?;
        }
        Ok(())
    };
    created.await.map_err(failed(&object))
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

fn failed(object: &Value) -> impl FnOnce(kube::Error) -> ClusterError {
    let object = format!("{} {}", object["kind"].as_str().unwrap_or_default(), name(object));
    |source| ClusterError::Write { object, source: Box::new(source) }
}

fn etcd(scratch: &Scratch) -> Vec<String> {
    vec![
        format!("--data-dir={}", scratch.file("etcd")),
        "--unsafe-no-fsync".to_owned(),
        "--log-level=error".to_owned(),
        format!("--listen-client-urls={ETCD}"),
        format!("--advertise-client-urls={ETCD}"),
        "--listen-peer-urls=http://127.0.0.1:2380".to_owned(),
    ]
}

fn apiserver(scratch: &Scratch, key: &str) -> Vec<String> {
    vec![
        format!("--etcd-servers={ETCD}"),
        format!("--secure-port={PORT}"),
        format!("--advertise-address={ADDRESS}"),
        format!("--cert-dir={}", scratch.path().display()),
        format!("--token-auth-file={}", scratch.file("tokens.csv")),
        format!("--service-account-key-file={key}"),
        format!("--service-account-signing-key-file={key}"),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        "--authorization-mode=RBAC".to_owned(),
        // There is no controller that makes accounts for pods.
        "--disable-admission-plugins=ServiceAccount".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/13".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
    ]
}

fn configuration(certificate: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "bench",
        "clusters": [{ "name": "bench", "cluster": {
            "server": format!("https://{ADDRESS}:{PORT}"),
            "certificate-authority": certificate,
        }}],
        "users": [{ "name": "admin", "user": { "token": TOKEN } }],
        "contexts": [{ "name": "bench", "context": { "cluster": "bench", "user": "admin" } }],
    })
}

/// The apiserver makes a certificate for its address when it starts.
fn wait_for(file: &Path) {
    let latest = Instant::now() + START;
    while !file.exists() && Instant::now() < latest {
        thread::sleep(Duration::from_millis(50));
    }
}

const ADDRESS: &str = "10.202.0.1";
const PORT: u16 = 6443;
const ETCD: &str = "http://127.0.0.1:2379";
const TOKEN: &str = "admin";
const START: Duration = Duration::from_mins(1);
/// Objects that are written at the same time.
const AT_ONCE: usize = 32;
