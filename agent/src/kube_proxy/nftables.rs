//! kube-proxy's nftables mode: a table `kube-proxy` for each family (`pkg/proxy/nftables`).

use serde_json::Value;

use super::{FAMILIES, Leftovers, Program, ProgramError, Removal, ServicePort, drain};

const TABLE: &str = "kube-proxy";

/// Also looks whether connections of an earlier clean-up drain.
pub(super) fn find(leftovers: &mut Leftovers) -> Result<(), ProgramError> {
    let Some(tables) = leftovers.ask(&Program::new("nft", &["-j", "list", "tables"]))? else {
        return Ok(());
    };
    let tables = parse(&tables)?;
    for family in FAMILIES {
        let has = |name: &str| tables.iter().any(|it| is_table(it, family, name));
        leftovers.drains |= has(drain::TABLE);
        if !has(TABLE) {
            continue;
        }
        let map = ["-j", "list", "map", family, TABLE, "service-ips"];
        match leftovers.ask(&Program::new("nft", &map)) {
            Ok(map) => leftovers.services.extend(services(&parse(&map.unwrap_or_default())?)),
            // A table without the map knows no services.
            Err(ProgramError::Failed { .. }) => {}
            Err(error) => return Err(error),
        }
        leftovers.removals.push(Removal {
            what: vec![format!("nftables: table {family} {TABLE}")],
            program: Program::new("nft", &["-f", "-"]),
            input: format!("delete table {family} {TABLE}\n"),
        });
    }
    Ok(())
}

fn parse(text: &str) -> Result<Vec<Value>, ProgramError> {
    let failed =
        |error: serde_json::Error| ProgramError::Answer { name: "nft", reason: error.to_string() };
    let mut answer: Value = serde_json::from_str(text).map_err(failed)?;
    serde_json::from_value(answer["nftables"].take()).map_err(failed)
}

fn is_table(entry: &Value, family: &str, name: &str) -> bool {
    let table = &entry["table"];
    table["family"] == family && table["name"] == name
}

/// The keys of a map by address, protocol and port.
fn services(entries: &[Value]) -> Vec<ServicePort> {
    let maps = entries.iter().filter_map(|entry| entry["map"]["elem"].as_array());
    let services = maps.flatten().filter_map(|element| {
        let key = &element[0];
        // With a comment or a timeout the value is one level deeper.
        let key = key.get("elem").map_or(key, |it| &it["val"]);
        let [address, protocol, port] = key["concat"].as_array()?.as_slice() else { return None };
        Some(ServicePort {
            address: address.as_str()?.parse().ok()?,
            port: port.as_u64()?.try_into().ok()?,
            protocol: protocol.as_str()?.to_owned(),
        })
    });
    services.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_the_keys_of_the_map() {
        let text = r#"{"nftables": [{"metainfo": {"json_schema_version": 1}},
            {"map": {"family": "ip", "name": "service-ips", "table": "kube-proxy", "elem": [
                [{"concat": ["10.96.0.1", "tcp", 443]}, {"goto": {"target": "a"}}],
                [{"elem": {"val": {"concat": ["fd00::1", "udp", 53]}, "comment": "dns"}},
                 {"goto": {"target": "b"}}]]}}]}"#;
        let services = services(&parse(text).unwrap());
        let services: Vec<_> = services.iter().map(ToString::to_string).collect();
        assert_eq!(services, ["10.96.0.1:443/tcp", "[fd00::1]:53/udp"]);
    }
}
