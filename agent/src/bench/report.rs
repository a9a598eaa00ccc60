//! How figures are printed.

use std::io::Write;

use serde::Serialize;

use super::{
    BenchError, bystanders::Bystanders, crowded::Crowded, machine::Machine, options::Output, print,
    statistics::Summary,
};

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    pub machine: Machine,
    pub bystanders: Bystanders,
    pub rows: Vec<Row>,
    /// Where everything is measured.
    pub crowded: Option<Crowded>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Row {
    pub scenario: &'static str,
    pub flows: u32,
    /// Of the flow table.
    pub buckets: u32,
    /// Per packet, above an empty program.
    pub ns: Summary,
    /// Of that time to what a program of fixed work took in the same rounds.
    pub ratio: f64,
    /// Not part of the JSON: the scenario says it.
    #[serde(skip)]
    pub hook: &'static str,
}

impl Report {
    pub fn print(&self, output: Output, out: &mut dyn Write) -> Result<(), BenchError> {
        print::report(self, output, out, |out| {
            let Self { machine, bystanders, rows, crowded } = self;
            writeln!(out, "{machine}")?;
            writeln!(out, "ns per packet above an empty program; beside {bystanders}\n")?;
            let names = ["SCENARIO", "HOOK", "FLOWS", "BUCKETS", "MEDIAN", "MIN", "MAX", "RATIO"];
            let rows = rows.iter().map(|Row { scenario, flows, buckets, ns, ratio, hook }| {
                let [median, min, max] = [ns.median, ns.min, ns.max].map(|it| format!("{it:.1}"));
                let (scenario, hook) = ((*scenario).to_owned(), (*hook).to_owned());
                [
                    scenario,
                    hook,
                    flows.to_string(),
                    buckets.to_string(),
                    median,
                    min,
                    max,
                    format!("{ratio:.2}"),
                ]
            });
            print::table(out, names, 2, rows)?;
            crowded.as_ref().map_or(Ok(()), |it| it.print(out))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let row = |flows, median| Row {
            scenario: "established",
            flows,
            buckets: 65_536,
            ns: Summary { min: median - 1.0, median, max: median + 100.0 },
            ratio: median / 25.0,
            hook: "uplink ingress (XDP)",
        };
        let machine = Machine {
            cpu: "AMD EPYC".into(),
            cores: 2,
            kernel: "6.18.0".into(),
            date: "2026-01-02T03:04:05Z".into(),
            governor: None,
        };
        let rows = vec![row(1, 45.0), row(65_536, 125.0)];
        Report { machine, bystanders: Bystanders::NONE, rows, crowded: None }
    }

    fn printed(output: Output) -> String {
        let mut out = Vec::new();
        report().print(output, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_table_is_for_people() {
        let expected = "\
AMD EPYC, 2 cores, Linux 6.18.0, 2026-01-02T03:04:05Z
ns per packet above an empty program; beside 0 services, 0 pods, 1 policies over 1 prefixes

SCENARIO     HOOK                  FLOWS  BUCKETS  MEDIAN    MIN    MAX  RATIO
established  uplink ingress (XDP)      1    65536    45.0   44.0  145.0   1.80
established  uplink ingress (XDP)  65536    65536   125.0  124.0  225.0   5.00
";
        assert_eq!(printed(Output::Table), expected);
    }

    #[test]
    fn the_json_has_these_fields_and_no_others() {
        let value: serde_json::Value = serde_json::from_str(&printed(Output::Json)).unwrap();
        let expected = serde_json::json!({
            "machine": {
                "cpu": "AMD EPYC",
                "cores": 2,
                "kernel": "6.18.0",
                "date": "2026-01-02T03:04:05Z",
                "governor": null,
            },
            "bystanders": { "services": 0, "pods": 0, "policies": 1, "prefixes": 1 },
            "crowded": null,
            "rows": [
                {
                    "scenario": "established",
                    "flows": 1,
                    "buckets": 65536,
                    "ns": { "min": 44.0, "median": 45.0, "max": 145.0 },
                    "ratio": 1.8,
                },
                {
                    "scenario": "established",
                    "flows": 65536,
                    "buckets": 65536,
                    "ns": { "min": 124.0, "median": 125.0, "max": 225.0 },
                    "ratio": 5.0,
                },
            ],
        });
        assert_eq!(value, expected);
    }
}
