//! A control plane, and nodes with an agent each.

use anyhow::{Context, Result};
use testbed::{
    agent::Agent,
    bed::{Bed, Host},
    churn::Machine,
    control_plane::{ControlPlane, definition},
    wait,
};
use zonegate::documents;

use super::checkpoint::TIMEOUT;

const RIGHTS: &str = include_str!("../../../deploy/kubernetes/rbac.yaml");
const FAR: [(&str, &str); 2] = [("node-b", "zone-b"), ("node-c", "zone-c")];

pub struct Cluster {
    // Agents end before what they talk to.
    pub agents: Vec<(String, Agent)>,
    pub plane: ControlPlane,
    pub machines: Vec<Machine>,
    _bed: Bed,
}

impl Cluster {
    pub fn start() -> Result<Self> {
        let mut builder = Bed::builder().node("node-a", "zone-a");
        for (name, zone) in FAR {
            builder = builder.remote_with_pods(name, zone, 0);
        }
        let bed = builder.build()?;
        let plane = ControlPlane::start_cleaning_up(bed.node())?;
        for right in documents::parse(RIGHTS)? {
            plane.apply(&right.value)?;
        }
        for (kind, version) in [
            ("ClusterNetworkPolicy", "v1alpha2"),
            ("AdminNetworkPolicy", "v1alpha1"),
            ("BaselineAdminNetworkPolicy", "v1alpha1"),
        ] {
            plane.apply(&definition(kind, version))?;
        }
        let kubeconfig = plane.kubeconfig_of("kube-system", "zonegate")?;
        let kubeconfig = kubeconfig.to_str().context("a path of letters")?;
        let hosts = || FAR.map(|(name, _)| bed.remote(name)).into_iter();
        let mut agents = Vec::new();
        for host in [bed.node()].into_iter().chain(hosts()) {
            let agent = Agent::builder_on(host).log_filter("info");
            let agent = agent.argument("--kubernetes").argument("--kubeconfig");
            agents.push((host.name().to_owned(), agent.argument(kubeconfig).start()?));
        }
        let mut machines = vec![machine(bed.node(), "10.1.0.", "fd00:1::")];
        for (n, host) in (1..).zip(hosts()) {
            machines.push(machine(host, &format!("10.2.{n}."), &format!("fd00:2:{n}::")));
        }
        // Nobody runs an agent there.
        for n in 8..10 {
            let addresses = vec![format!("192.168.50.{}", 200 + n), format!("fd00:50::{n}")];
            let (pods4, pods6) = (format!("10.2.{n}."), format!("fd00:2:{n}::"));
            machines.push(Machine { name: format!("node-{n}"), addresses, pods4, pods6 });
        }
        let cluster = Self { agents, plane, machines, _bed: bed };
        for agent in 0..cluster.agents.len() {
            cluster.wait_until_ready(agent)?;
        }
        Ok(cluster)
    }

    pub fn wait_until_ready(&self, agent: usize) -> Result<()> {
        let (name, agent) = &self.agents[agent];
        wait::until(TIMEOUT, || {
            let status = agent.cli(&["status"])?;
            let ready = status.stdout.contains("ready      yes");
            Ok((!ready).then(|| format!("{name}: {}{}", status.stdout, status.stderr)))
        })
    }
}

fn machine(host: &Host, pods4: &str, pods6: &str) -> Machine {
    Machine {
        name: host.name().to_owned(),
        addresses: host.addresses().each().map(|it| it.to_string()).to_vec(),
        pods4: pods4.to_owned(),
        pods6: pods6.to_owned(),
    }
}
