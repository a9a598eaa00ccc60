//! Connections through a service.
//!
//! One node translates: the tables of that node say which backends the client may get, and each
//! of these is judged where the translated connection passes. Where backends fare differently,
//! one that lets the client in is enough: which is chosen is a matter of the client's port.

use std::net::{IpAddr, SocketAddr};

use super::{
    Answer, Attempt, CheckError, Checker, Leg, Legs, Place, Probe, Verdict, home,
    node::{Offered, Passage},
};

/// A connection that some node translates.
struct Translation {
    /// The node.
    node: String,
    backends: Vec<SocketAddr>,
    snat: bool,
}

/// How one backend fares.
struct Trial {
    legs: Legs,
    denied: Option<&'static str>,
}

impl Checker {
    /// Answers where the destination is a service's; says whether it is.
    pub(super) fn answer_service(
        &mut self,
        answer: &mut Answer,
        probe: &Probe,
        attempt: &Attempt,
    ) -> Result<bool, CheckError> {
        let (source, destination) = (attempt.source.0, attempt.destination.0);
        for node in self.translators(probe, attempt)? {
            self.compile(&node)?;
            let Some(tables) = self.nodes.get(&node) else { continue };
            match tables.offer(source, destination, attempt.traffic) {
                Offered::Nothing => continue,
                Offered::Drop(reason) => {
                    (answer.verdict, answer.reason) = (Verdict::Drop, Some(reason.name()));
                }
                Offered::Reject => answer.verdict = Verdict::Reject,
                Offered::Backends { backends, snat } => {
                    // Else its answers would not come back the same way.
                    let hairpin = backends.iter().all(|backend| backend.ip() == source);
                    let snat = snat || hairpin;
                    self.try_backends(answer, attempt, &Translation { node, backends, snat })?;
                }
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// The nodes that may translate, in the order in which the connection meets them.
    fn translators(&self, probe: &Probe, attempt: &Attempt) -> Result<Vec<String>, CheckError> {
        let is_own = matches!(attempt.source.1, Place::Node(_));
        if attempt.destination.0.is_loopback() && !is_own {
            return Ok(Vec::new());
        }
        if let Some(node) = &probe.node {
            return Ok(vec![node.clone()]);
        }
        let (destination, place) = &attempt.destination;
        let mut nodes: Vec<String> =
            home(&attempt.source.1).map(str::to_owned).into_iter().collect();
        if let Place::Node(node) = place {
            nodes.push(node.clone());
        }
        if nodes.is_empty() && self.cluster.is_frontend(*destination) {
            let reason = "is needed: the client is on no node".to_owned();
            return Err(CheckError::Probe { id: probe.id.clone(), field: "node", reason });
        }
        nodes.dedup();
        Ok(nodes)
    }

    fn try_backends(
        &mut self,
        answer: &mut Answer,
        attempt: &Attempt,
        translation: &Translation,
    ) -> Result<(), CheckError> {
        let mut trials = Vec::new();
        for backend in &translation.backends {
            trials.push(self.try_backend(attempt, translation, *backend)?);
        }
        let taken = trials.iter().position(|trial| trial.denied.is_none());
        let Some(trial) = trials.get(taken.unwrap_or(0)) else { return Ok(()) };
        if taken.is_some() {
            answer.verdict = Verdict::Forward;
            let texts = translation.backends.iter().map(ToString::to_string);
            answer.backends = Some(texts.collect());
            answer.snat = Some(translation.snat);
        } else {
            (answer.verdict, answer.reason) = (Verdict::Drop, trial.denied);
        }
        self.explain(answer, &trial.legs);
        Ok(())
    }

    /// Judges the connection to one backend on the client's node and on the backend's.
    fn try_backend(
        &mut self,
        attempt: &Attempt,
        translation: &Translation,
        backend: SocketAddr,
    ) -> Result<Trial, CheckError> {
        let (client, source) = &attempt.source;
        let destination = self.cluster.place(backend.ip());
        let translator = &translation.node;
        let translated = attempt.traffic.to_port(backend.port());
        let (inward, outward) = (workload_node(&destination), workload_node(source));
        // Only the node that translates still sees the client.
        let seen = match &inward {
            Some(node) if node != translator && translation.snat => self.snat(translator, *client),
            _ => *client,
        };
        // Before it is translated, the connection goes to the service.
        let early = outward.as_ref().is_some_and(|node| node != translator);
        let (towards, traffic) = if early {
            (attempt.destination.0, attempt.traffic)
        } else {
            (backend.ip(), translated)
        };
        let legs = Legs {
            source: source.clone(),
            destination: destination.clone(),
            egress: Leg { peer: towards, traffic },
            ingress: Leg { peer: seen, traffic: translated },
            through_service: true,
        };
        let mut stops: Vec<(String, Passage)> = Vec::new();
        if let Some(node) = &outward {
            let is_translated = !early;
            stops.push((
                node.clone(),
                Passage { source: *client, destination: towards, traffic, is_translated },
            ));
        }
        if let Some(node) = inward.filter(|node| early || outward.as_ref() != Some(node)) {
            let is_translated = node == *translator;
            let traffic = translated;
            let passage =
                Passage { source: seen, destination: backend.ip(), traffic, is_translated };
            stops.push((node, passage));
        }
        for (node, passage) in stops {
            self.compile(&node)?;
            let verdict = self.nodes.get(&node).map_or(Ok(()), |node| node.pass(passage));
            if let Err(reason) = verdict {
                return Ok(Trial { legs, denied: Some(reason.name()) });
            }
        }
        Ok(Trial { legs, denied: None })
    }

    /// What a backend elsewhere takes for the client.
    fn snat(&self, node: &str, client: IpAddr) -> IpAddr {
        let own = self.cluster.world.nodes.get(node).into_iter().flat_map(|node| &node.addresses);
        let mut same = own.filter(|address| address.is_ipv4() == client.is_ipv4());
        if same.clone().any(|address| *address == client) {
            return client;
        }
        same.next().copied().unwrap_or(client)
    }
}

/// The node of an end that is a workload: its port judges what passes.
fn workload_node(place: &Place) -> Option<String> {
    match place {
        Place::Workload { node, .. } => Some(node.clone()),
        Place::Node(_) | Place::Outside => None,
    }
}
