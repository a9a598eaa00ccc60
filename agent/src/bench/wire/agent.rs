//! A real agent on the router's node: the same binary, as it is deployed.

use std::{
    fmt::Write,
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::sys::{prctl::set_pdeathsig, signal::Signal};

use super::{
    WireError,
    namespace::{Namespace, run},
    router::{
        BACKEND_PORT, CALLED, CLIENTS, SERVICE_PORT, ZONEGATE_SERVICES, backend, service, unwanted,
    },
};

/// An agent; it ends with this, or with the benchmark.
pub struct Agent {
    child: Child,
    directory: PathBuf,
    pins: PathBuf,
}

impl Agent {
    /// Starts it in a node's namespace, and waits until the resources are in force. `kernel` is more of
    /// that section of its configuration.
    pub fn start(node: &Namespace, resources: &str, kernel: &str) -> Result<Self, WireError> {
        let directory = std::env::temp_dir().join(node.name());
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory)?;
        let pins = Path::new("/sys/fs/bpf").join(node.name());
        let config = directory.join("agent.toml");
        let path = |name: &str| directory.join(name).display().to_string();
        fs::write(
            &config,
            format!(
                "node = \"{NODE}\"\nsocket = \"{}\"\nstate_dir = \"{}\"\n[kernel]\nbpffs = \"{}\"\n\
                 uplinks = [\"gen0\", \"sink0\"]\ncgroup = \"\"\n{kernel}",
                path("agent.sock"),
                path("state"),
                pins.display(),
            ),
        )?;
        let binary = std::env::current_exe()?;
        let mut command = node.command(&binary);
        command.args(["agent", "--config"]).arg(&config);
        command.env("ZONEGATE_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::null());
        // SAFETY: between fork and exec only a system call is made.
        unsafe { command.pre_exec(|| Ok(set_pdeathsig(Signal::SIGKILL)?)) };
        let agent = Self { child: command.spawn()?, directory, pins };
        let file = agent.directory.join("resources.yaml");
        fs::write(&file, resources)?;
        let deadline = Instant::now() + START;
        loop {
            let mut apply = Command::new(&binary);
            apply.arg("--socket").arg(agent.directory.join("agent.sock"));
            apply.args(["apply", "-f"]).arg(&file);
            match run(&mut apply, "") {
                Ok(()) => break,
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => thread::sleep(Duration::from_millis(100)),
            }
        }
        Ok(agent)
    }

    /// Where it pins what it has in the kernel.
    pub fn pins(&self) -> &Path {
        &self.pins
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended by itself. Its programs go with the namespace's interfaces and the pins.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
        let _ = fs::remove_dir_all(&self.pins);
    }
}

const NODE: &str = "bench";
const START: Duration = Duration::from_mins(1);

/// Nobody may reach this node's own pods; many UDP services.
pub fn services() -> String {
    let mut text = nodes();
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "---\nkind: AddressSet\nname: pods\nprefixes: [{}/26]\n---\n\
         kind: Policy\nname: isolated\ntier: NETWORK\nsubjects: [pods]\ningress: {{rules: []}}\n",
        unwanted(0)
    );
    for index in 0..CALLED {
        let address = unwanted(index);
        let _ = write!(
            text,
            "---\nkind: Workload\nname: w{index}\nnode: {NODE}\naddresses: [{address}]\n\
             interface: pod{index}\n"
        );
    }
    (0..ZONEGATE_SERVICES).fold(text, |text, index| text + &one_backend(index, "UDP"))
}

/// Clients are pods of a node beyond the generator's wire, backends pods of one beyond the sink's:
/// no address but the service's is translated, as by kube-proxy.
pub fn nodes() -> String {
    format!(
        "kind: Node\nname: {NODE}\naddresses: [10.200.0.1]\n---\n\
         kind: Node\nname: clients\naddresses: [10.200.0.2]\npodPrefixes: [{CLIENTS}]\n---\n\
         kind: Node\nname: backends\naddresses: [10.201.0.2]\n"
    )
}

/// A service with one backend.
pub fn one_backend(index: u32, protocol: &str) -> String {
    let (service, backend) = (service(index), backend(index));
    format!(
        "---\nkind: BackendSet\nname: s{index}\nbackends: \
         [{{address: {backend}, port: {BACKEND_PORT}, node: backends}}]\n\
         ---\nkind: Service\nname: s{index}\nbackendSet: s{index}\nfrontends: \
         [{{address: {service}, port: {SERVICE_PORT}, protocol: {protocol}}}]\n"
    )
}
