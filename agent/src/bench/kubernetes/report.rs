//! How clusters are printed.

use std::io::Write;

use serde::Serialize;

use super::{
    scale::{self, ScaleRow},
    sizes::Row,
};
use crate::bench::{
    BenchError,
    machine::Machine,
    options::Output,
    print,
    wire::{UNIT, cells},
};

/// Proxies with several numbers of services.
#[derive(Debug, Serialize)]
pub struct SizesReport {
    pub machine: Machine,
    pub rows: Vec<Row>,
}

impl SizesReport {
    pub fn print(&self, output: Output, out: &mut dyn Write) -> Result<(), BenchError> {
        print::report(self, output, out, |out| {
            writeln!(out, "{}", self.machine)?;
            writeln!(out, "milliseconds from a change in the API to the first packet\n")?;
            let names = [
                "CHANGE", "SERVICES", "PROXY", "SAMPLES", "MIN", "P50", "P99", "MAX", "ANSWER",
                "RATIO",
            ];
            let endpoints = self.rows.iter().map(|row| self.latency(row, "endpoint"));
            let services = self.rows.iter().map(|row| self.latency(row, "service"));
            print::table(out, names, 1, endpoints.chain(services))?;
            writeln!(out, "\n{UNIT}\n")?;
            let names = ["SERVICES", "PROXY", "KPPS", "MIN", "MAX", "NS", "LOSS %", "CPU %"];
            let packets = self.rows.iter().map(|row| {
                let [kpps, min, max, ns, loss] = cells(&row.packets);
                let cpu = format!("{:.2}", row.packets_cpu);
                [row.services.to_string(), row.proxy.to_string(), kpps, min, max, ns, loss, cpu]
            });
            print::table(out, names, 0, packets)?;
            writeln!(out, "\nmemory in MiB, time of processors\n")?;
            let names = [
                "SERVICES",
                "PROXY",
                "OWN",
                "RSS",
                "PEAK",
                "KERNEL",
                "SYNC S",
                "SYNC CPU S",
                "CHANGE MS",
                "REST %",
            ];
            print::table(out, names, 0, self.rows.iter().map(costs))
        })
    }

    fn latency(&self, row: &Row, change: &str) -> [String; 10] {
        let of = |row: &Row| if change == "endpoint" { row.endpoint } else { row.service };
        // The agent is the first of each size.
        let own = self.rows.iter().find(|it| it.services == row.services).map(of);
        let latency = of(row);
        let ratio = own.map_or(1.0, |own| latency.percentiles.p99 / own.percentiles.p99);
        let cell = |figure: f64| format!("{figure:.2}");
        [
            change.to_owned(),
            row.services.to_string(),
            row.proxy.to_string(),
            latency.samples.to_string(),
            cell(latency.min),
            cell(latency.percentiles.p50),
            cell(latency.percentiles.p99),
            cell(latency.percentiles.max),
            cell(latency.answer),
            format!("{ratio:.1}"),
        ]
    }
}

fn costs(row: &Row) -> [String; 10] {
    let [own, resident, peak, kernel] = row.memory.cells();
    [
        row.services.to_string(),
        row.proxy.to_string(),
        own,
        resident,
        peak,
        kernel,
        format!("{:.2}", row.start.sync_s),
        format!("{:.2}", row.start.cpu_s),
        format!("{:.2}", row.change_cpu_ms),
        format!("{:.2}", row.rest_cpu),
    ]
}

/// Proxies of one large cluster.
#[derive(Debug, Serialize)]
pub struct ScaleReport {
    pub machine: Machine,
    pub nodes: u32,
    pub pods: u32,
    /// Of the node.
    pub local_pods: u32,
    pub services: u32,
    pub policies: u32,
    pub rows: Vec<ScaleRow>,
}

impl ScaleReport {
    pub fn of(rows: Vec<ScaleRow>) -> Self {
        Self {
            machine: Machine::this(),
            nodes: scale::NODES,
            pods: scale::PODS,
            local_pods: scale::LOCAL,
            services: scale::SERVICES,
            policies: scale::POLICIES,
            rows,
        }
    }

    pub fn print(&self, output: Output, out: &mut dyn Write) -> Result<(), BenchError> {
        print::report(self, output, out, |out| {
            let Self { machine, nodes, pods, local_pods, services, policies, rows } = self;
            writeln!(out, "{machine}")?;
            writeln!(
                out,
                "{pods} pods on {nodes} nodes, {local_pods} of them here, {services} services, \
                 {policies} policies"
            )?;
            writeln!(out, "memory in MiB, time of processors\n")?;
            let names = [
                "PROXY",
                "SYNC S",
                "SYNC CPU S",
                "OWN",
                "RSS",
                "PEAK",
                "KERNEL",
                "REST %",
                "CHANGES %",
            ];
            let rows = rows.iter().map(|row| {
                let [own, resident, peak, kernel] = row.memory.cells();
                [
                    row.proxy.to_string(),
                    format!("{:.2}", row.start.sync_s),
                    format!("{:.2}", row.start.cpu_s),
                    own,
                    resident,
                    peak,
                    kernel,
                    format!("{:.2}", row.rest_cpu),
                    format!("{:.2}", row.changes_cpu),
                ]
            });
            print::table(out, names, 1, rows)
        })
    }
}
