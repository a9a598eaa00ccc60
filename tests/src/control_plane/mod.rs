//! A real control plane of Kubernetes: etcd, kube-apiserver, and the controller that makes
//! endpoint slices of services and pods; with [`ControlPlane::start_cleaning_up`] those that
//! remove what belonged to what is gone, too.
//!
//! It runs in the namespace of one host of a bed. There is no kubelet: tests write the status of
//! pods as one would. The programs come from `hack/kubernetes-binaries`.

mod definitions;
mod objects;
mod process;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::{authentication::v1::TokenRequest, core::v1::ServiceAccount};
use kube::{
    Api, Client, Config,
    api::PostParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub use self::definitions::definition;
use self::process::Process;
use crate::{bed::Host, netns::Netns, wait};

/// Runs until it is dropped, whatever becomes of the test.
pub struct ControlPlane {
    netns: Netns,
    address: SocketAddr,
    directory: TempDir,
    binaries: PathBuf,
    apiserver: Option<Process>,
    /// What runs beside the apiserver until the end.
    others: Vec<Process>,
    runtime: Runtime,
    client: Client,
}

impl ControlPlane {
    /// Starts one on a host, and waits until it answers.
    pub fn start(host: &Host) -> Result<Self> {
        Self::start_with(host, SLICES)
    }

    /// The same, where namespaces come to an end, and slices go with their services.
    pub fn start_cleaning_up(host: &Host) -> Result<Self> {
        Self::start_with(
            host,
            &format!("{SLICES},garbage-collector-controller,namespace-controller"),
        )
    }

    fn start_with(host: &Host, controllers: &str) -> Result<Self> {
        let binaries = process::binaries()?;
        let directory = tempfile::Builder::new().prefix("zonegate-").tempdir()?;
        let address = SocketAddr::new(host.v4().into(), PORT);
        prepare(directory.path())?;
        let netns = host.netns().clone();
        let etcd = Process::start(
            &netns,
            directory.path(),
            &binaries.join("etcd"),
            &[
                format!("--data-dir={}", directory.path().join("etcd").display()),
                "--unsafe-no-fsync".to_owned(),
                format!("--listen-client-urls={ETCD}"),
                format!("--advertise-client-urls={ETCD}"),
                "--listen-peer-urls=http://127.0.0.1:2380".to_owned(),
            ],
        )?;
        let apiserver = start_apiserver(&netns, directory.path(), &binaries, address)?;
        let admin = write_kubeconfig(directory.path(), "admin", address, ADMIN_TOKEN)?;
        let runtime = netns.run(|| {
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()
        })?;
        let client = runtime.block_on(async {
            let kubeconfig = Kubeconfig::read_from(&admin)?;
            let options = KubeConfigOptions::default();
            let config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
            anyhow::Ok(Client::try_from(config)?)
        })?;
        let apiserver = Some(apiserver);
        let mut plane = Self {
            netns,
            address,
            directory,
            binaries,
            apiserver,
            others: vec![etcd],
            runtime,
            client,
        };
        plane.wait_until_ready()?;
        let program = plane.binaries.join("kube-controller-manager");
        let arguments = [
            format!("--kubeconfig={}", admin.display()),
            "--leader-elect=false".to_owned(),
            format!("--controllers={controllers}"),
            // Ready pods are in slices at once, not a second later with others.
            "--endpointslice-updates-batch-period=0s".to_owned(),
            // Its limits are those of a machine with other work.
            "--kube-api-qps=500".to_owned(),
            "--kube-api-burst=1000".to_owned(),
        ];
        let directory = plane.directory.path();
        plane.others.push(Process::start(&plane.netns, directory, &program, &arguments)?);
        Ok(plane)
    }

    /// A kubeconfig with a token of a service account.
    pub fn kubeconfig_of(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let (client, namespace, name) =
            (self.client.clone(), namespace.to_owned(), name.to_owned());
        let account = name.clone();
        let answer = self.ask(async move {
            let accounts = Api::<ServiceAccount>::namespaced(client, &namespace);
            let request = TokenRequest::default();
            accounts.create_token_request(&name, &PostParams::default(), &request).await
        })?;
        let token = answer.status.and_then(|it| it.token).context("no token was issued")?;
        write_kubeconfig(self.directory.path(), &account, self.address, &token)
    }

    /// Ends the apiserver as a crash would; etcd keeps what it held.
    pub fn kill_apiserver(&mut self) {
        self.apiserver = None;
    }

    pub fn start_apiserver(&mut self) -> Result<()> {
        ensure!(self.apiserver.is_none(), "the apiserver runs already");
        let directory = self.directory.path();
        let started = start_apiserver(&self.netns, directory, &self.binaries, self.address)?;
        self.apiserver = Some(started);
        self.wait_until_ready()
    }

    /// Has etcd forget everything but the present, as it does every few minutes.
    pub fn compact(&self) -> Result<()> {
        let range = json!({ "key": "AA==" });
        let now: serde_json::Value = serde_json::from_str(&self.etcd("kv/range", &range)?)?;
        let revision = now["header"]["revision"].as_str().context("etcd tells no revision")?;
        self.etcd("kv/compaction", &json!({ "revision": revision, "physical": true }))?;
        Ok(())
    }

    fn etcd(&self, call: &str, request: &serde_json::Value) -> Result<String> {
        self.netns.shell(&format!("curl -sSf {ETCD}/v3/{call} -d '{request}'"))
    }

    fn wait_until_ready(&self) -> Result<()> {
        let latest = Instant::now() + START_TIMEOUT;
        loop {
            let client = self.client.clone();
            let answer = self.ask(async move {
                let request = http::Request::get("/readyz").body(Vec::new());
                client.request_text(request.map_err(kube::Error::HttpError)?).await
            });
            match answer {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > latest => {
                    let log = self.apiserver.as_ref().map(Process::log).unwrap_or_default();
                    bail!("no apiserver after {START_TIMEOUT:?}: {error:#}\n{log}");
                }
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    /// Runs a request where the control plane is.
    fn ask<T: Send + 'static>(
        &self,
        request: impl Future<Output = kube::Result<T>> + Send + 'static,
    ) -> Result<T> {
        // Only the runtime's own threads are in the namespace.
        Ok(self.runtime.block_on(self.runtime.spawn(request))??)
    }
}

/// Keys of service accounts, and who the administrator is.
fn prepare(directory: &Path) -> Result<()> {
    let output = std::process::Command::new("openssl")
        .args(["genrsa", "-out"])
        .arg(directory.join(KEY))
        .arg("2048")
        .output()
        .context("running openssl")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::write(directory.join(TOKENS), format!("{ADMIN_TOKEN},admin,admin,system:masters\n"))?;
    Ok(())
}

fn start_apiserver(
    netns: &Netns,
    directory: &Path,
    binaries: &Path,
    address: SocketAddr,
) -> Result<Process> {
    let file = |name: &str| directory.join(name).display().to_string();
    Process::start(
        netns,
        directory,
        &binaries.join("kube-apiserver"),
        &[
            format!("--etcd-servers={ETCD}"),
            format!("--secure-port={PORT}"),
            format!("--advertise-address={}", address.ip()),
            format!("--cert-dir={}", file(CERTIFICATES)),
            format!("--token-auth-file={}", file(TOKENS)),
            format!("--service-account-key-file={}", file(KEY)),
            format!("--service-account-signing-key-file={}", file(KEY)),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            "--authorization-mode=RBAC".to_owned(),
            // There is no controller that makes accounts for pods.
            "--disable-admission-plugins=ServiceAccount".to_owned(),
            "--service-cluster-ip-range=10.96.0.0/16,fd00:96::/112".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
            "--shutdown-delay-duration=0s".to_owned(),
            // Tests compact themselves.
            "--etcd-compaction-interval=0s".to_owned(),
        ],
    )
}

fn write_kubeconfig(
    directory: &Path,
    user: &str,
    address: SocketAddr,
    token: &str,
) -> Result<PathBuf> {
    // The apiserver makes a certificate for its address when it starts for the first time.
    let certificate = directory.join(CERTIFICATES).join("apiserver.crt");
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{ "name": "test", "cluster": {
            "server": format!("https://{address}"),
            "certificate-authority": certificate,
        }}],
        "users": [{ "name": user, "user": { "token": token } }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": user } }],
    });
    wait::until(START_TIMEOUT, || {
        Ok((!certificate.exists()).then(|| "the apiserver makes no certificate".to_owned()))
    })?;
    let path = directory.join(format!("{user}.kubeconfig"));
    fs::write(&path, config.to_string())?;
    Ok(path)
}

const SLICES: &str = "endpointslice-controller";
const PORT: u16 = 6443;
const ETCD: &str = "http://127.0.0.1:2379";
const KEY: &str = "service-accounts.key";
const TOKENS: &str = "tokens.csv";
const CERTIFICATES: &str = "certificates";
const ADMIN_TOKEN: &str = "admin";
/// On a machine that compiles at the same time.
const START_TIMEOUT: Duration = Duration::from_mins(2);
