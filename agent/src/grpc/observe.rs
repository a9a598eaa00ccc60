//! `zonegate.v1.Observe`.

use std::time::{Duration, UNIX_EPOCH};

use proto::v1::{self, observe_server::Observe};
use tokio_stream::Iter;
use tonic::{Request, Response, Status};

use super::{key, offers};
use crate::{
    dataplane::{Attachment, Counter, Counts, Fill, Flow},
    handshakes::Handshakes,
    source_problem::SourceProblem,
    store::{self, Commits, Handle, Origin, OwnerStatus, Readiness, Usage, ZoneTraffic},
};

pub(super) struct Service {
    handle: Handle,
}

impl Service {
    pub(super) fn new(handle: Handle) -> Self {
        Self { handle }
    }
}

#[tonic::async_trait]
impl Observe for Service {
    type ListFlowsStream = Iter<std::vec::IntoIter<Result<v1::ListFlowsResponse, Status>>>;

    async fn get_status(
        &self,
        _request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        Ok(Response::new(status(self.handle.status().await?)))
    }

    type ListOffersStream = Iter<std::vec::IntoIter<Result<v1::ListOffersResponse, Status>>>;

    async fn list_offers(
        &self,
        request: Request<v1::ListOffersRequest>,
    ) -> Result<Response<Self::ListOffersStream>, Status> {
        let (offers, zone) = self.handle.offers(request.into_inner().service).await?;
        let pages: Vec<_> = offers::pages(offers, &zone).into_iter().map(Ok).collect();
        Ok(Response::new(tokio_stream::iter(pages)))
    }

    type ZoneTrafficStream = Iter<std::vec::IntoIter<Result<v1::ZoneTrafficResponse, Status>>>;

    async fn zone_traffic(
        &self,
        request: Request<v1::ZoneTrafficRequest>,
    ) -> Result<Response<Self::ZoneTrafficStream>, Status> {
        let traffic = self.handle.zone_traffic(request.into_inner().service).await?;
        let pages: Vec<_> = traffic
            .chunks(TRAFFIC_PAGE)
            .map(|page| {
                let traffic = page.iter().map(zone_traffic).collect();
                Ok(v1::ZoneTrafficResponse { traffic })
            })
            .collect();
        Ok(Response::new(tokio_stream::iter(pages)))
    }

    async fn list_flows(
        &self,
        request: Request<v1::ListFlowsRequest>,
    ) -> Result<Response<Self::ListFlowsStream>, Status> {
        let limit = match request.into_inner().limit {
            0 => DEFAULT_FLOWS,
            limit => (limit as usize).min(MAX_FLOWS),
        };
        let flows = self.handle.flows(limit).await?;
        let pages: Vec<_> = flows
            .chunks(FLOWS_PAGE)
            .map(|page| Ok(v1::ListFlowsResponse { flows: page.iter().map(flow).collect() }))
            .collect();
        Ok(Response::new(tokio_stream::iter(pages)))
    }
}

fn status(status: store::Status) -> v1::GetStatusResponse {
    v1::GetStatusResponse {
        node: status.node,
        ready: status.readiness == Readiness::Ready,
        not_ready_reason: status.readiness.to_string(),
        lineage: status.stamp.lineage.to_be_bytes().to_vec().into(),
        revision: status.stamp.revision,
        commits: Some(commits(&status.commits)),
        owners: status.owners.into_iter().map(owner).collect(),
        resources: status
            .resources
            .into_iter()
            .map(|(kind, count)| v1::KindCount {
                kind: key::kind_to_proto(kind).into(),
                count: count as u64,
            })
            .collect(),
        counters: status.counters.into_iter().map(counter).collect(),
        limits: status.limits.into_iter().map(usage).collect(),
        tables: status.tables.into_iter().map(fill).collect(),
        attachments: status.attachments.into_iter().map(attachment).collect(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        abi_version: abi::ABI_VERSION,
        save_error: status.save_error.unwrap_or_default(),
        problems: status
            .problems
            .into_iter()
            .flat_map(|(source, problems)| {
                problems.into_iter().map(move |it| problem(source.clone(), it))
            })
            .collect(),
    }
}

fn commits(commits: &Commits) -> v1::CommitStatus {
    let microseconds = |time: Duration| time.as_micros() as u64;
    let last = commits.last.as_ref();
    v1::CommitStatus {
        accepted: commits.accepted,
        refused: commits.refused,
        failed: commits.failed,
        last_unix_milliseconds: last
            .and_then(|(at, _)| at.duration_since(UNIX_EPOCH).ok())
            .map_or(0, |since| since.as_millis() as u64),
        last_compile_microseconds: last.map_or(0, |(_, it)| microseconds(it.compile)),
        last_commit_microseconds: last.map_or(0, |(_, it)| microseconds(it.commit)),
    }
}

fn owner(owner: OwnerStatus) -> v1::OwnerStatus {
    v1::OwnerStatus {
        owner: owner.name,
        writer_epoch: owner.epoch,
        live: owner.live,
        resources: owner.resources as u64,
    }
}

fn counter(counter: Counter) -> v1::Counter {
    v1::Counter { name: counter.name.to_owned(), drop: counter.drop, packets: counter.packets }
}

fn usage(usage: Usage) -> v1::LimitUsage {
    let (used, room) = (usage.used as u64, usage.room as u64);
    v1::LimitUsage { limit: usage.limit.to_owned(), used, room }
}

fn fill(fill: Fill) -> v1::TableFill {
    v1::TableFill { table: fill.table.to_owned(), used: fill.used, capacity: fill.capacity }
}

fn attachment(attachment: Attachment) -> v1::Attachment {
    v1::Attachment { interface: attachment.interface, hook: attachment.hook.to_owned() }
}

fn problem(source: String, problem: SourceProblem) -> v1::SourceProblem {
    let SourceProblem { file, line, column, object, field, reason, effect } = problem;
    v1::SourceProblem { source, file, line, column, object, field, reason, effect }
}

fn flow(flow: &Flow) -> v1::Flow {
    v1::Flow {
        protocol: flow.protocol.into(),
        source: flow.source.to_string(),
        destination: flow.destination.to_string(),
        translated_source: flow.translated_source.to_string(),
        translated_destination: flow.translated_destination.to_string(),
        reply: flow.reply,
        service: flow.service,
        backend: flow.backend,
        idle_milliseconds: flow.idle.as_millis() as u64,
        packets: flow.packets,
        bytes: flow.bytes,
    }
}

fn zone_traffic(traffic: &ZoneTraffic) -> v1::ZoneTraffic {
    let ZoneTraffic { service, from, to, counts } = traffic;
    let Counts { packets, bytes, reply_packets, reply_bytes, ref handshakes } = *counts;
    let (from_outside, from_zone) = match from {
        Origin::Outside => (true, String::new()),
        Origin::Zone(zone) => (false, zone.clone()),
    };
    v1::ZoneTraffic {
        service: service.clone(),
        from_outside,
        from_zone,
        to_zone: to.clone(),
        packets,
        bytes,
        reply_packets,
        reply_bytes,
        handshakes: (handshakes.count() > 0).then(|| times(handshakes)),
    }
}

fn times(handshakes: &Handshakes) -> v1::Handshakes {
    let microseconds = |time: Option<Duration>| time.map_or(0, |it| it.as_micros() as u64);
    let bucket = |(below, count): (Duration, u64)| v1::HandshakeBucket {
        below_microseconds: below.as_micros() as u64,
        count,
    };
    v1::Handshakes {
        count: handshakes.count(),
        mean_microseconds: microseconds(handshakes.mean()),
        p50_microseconds: microseconds(handshakes.percentile(50)),
        p99_microseconds: microseconds(handshakes.percentile(99)),
        buckets: handshakes.buckets().map(bucket).collect(),
    }
}

const DEFAULT_FLOWS: usize = 1_000;
const MAX_FLOWS: usize = 1_000_000;
/// Flows in a message: some 200 bytes each.
const FLOWS_PAGE: usize = 1_000;
/// Zones in a message: each has up to three names of a few hundred bytes, and some twenty buckets of
/// times.
const TRAFFIC_PAGE: usize = 1_000;
