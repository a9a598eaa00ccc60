//! Reads the image that pinned maps hold, independently of the agent that wrote it.

use std::path::Path;

use abi::{
    control::{Control, Intent},
    table::Table,
};
use anyhow::{Context, Result};
use zonegate::{
    image::Image,
    maps::{Backing, KernelMaps, Keyed, Tables},
};

/// The tables of a node as they are pinned.
#[derive(Debug)]
pub struct Pinned {
    /// What packets read.
    pub image: Image,
    /// The side that packets do not read.
    pub other: Image,
    /// The last commit has reached both sides.
    pub settled: bool,
    /// Ports and next hops of nobody, in the tables that follow the kernel.
    pub strays: Vec<String>,
}

/// Reads both sides of the tables below an agent's bpffs directory.
pub fn read(bpffs: &Path) -> Result<Pinned> {
    let directory = bpffs.join("maps");
    let maps = KernelMaps::open(&directory)
        .with_context(|| format!("opening the maps in {}", directory.display()))?;
    let tables = Tables::adopt(maps);
    let Control { generation, intent, .. } = tables.backing().control();
    let side = Control::side(generation);
    let image_in_force = image(&tables, side)?;
    Ok(Pinned {
        other: image(&tables, side ^ 1)?,
        settled: intent == Intent::SETTLED,
        strays: strays(&directory, &image_in_force)?,
        image: image_in_force,
    })
}

fn strays(directory: &Path, image: &Image) -> Result<Vec<String>> {
    let (ports, hops) = (KernelMaps::ports(directory)?, KernelMaps::next_hops(directory)?);
    let ports = (0..ports.capacity() as u16)
        .filter(|id| !image.ports.contains_key(id) && ports.read(*id).interface != 0)
        .map(|id| format!("port of endpoint {id}"));
    let hops = (0..hops.capacity() as u32)
        .filter(|id| !image.next_hops.contains_key(id) && hops.read(*id).is_usable())
        .map(|id| format!("next hop {id}"));
    Ok(ports.chain(hops).collect())
}

fn image(tables: &Tables<KernelMaps>, side: u32) -> Result<Image> {
    let mut image = Image::default();
    for table in Table::ALL {
        for word in 0..tables.used(table, side) {
            let value = tables.backing().load(table, side, word);
            if value != 0 {
                image.set_word(table, word, value);
            }
        }
    }
    for keyed in Keyed::ALL {
        let entries = tables.side_entries(keyed, side).context(keyed.map_name())?;
        keyed.decode(&entries, &mut image);
    }
    Ok(image)
}
