//! Who reaches whom: the table for a review.

use serde::Serialize;

use super::{CheckError, Checker, Reach};

/// What every pod may open towards every other, pods that behave alike taken together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matrix {
    /// The pods of each group.
    pub groups: Vec<Vec<String>>,
    /// By the source's and the destination's group; `all`, `-`, or protocols and ports.
    pub cells: Vec<Vec<String>>,
}

/// One pair of pods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reachable<'m> {
    pub source: &'m str,
    pub destination: &'m str,
    pub allowed: &'m str,
}

/// Asks for all pairs of pods that have addresses of their own.
pub fn matrix(checker: &mut Checker) -> Result<Matrix, CheckError> {
    let pods: Vec<String> = checker.cluster().workloads().map(str::to_owned).collect();
    let mut cells = Vec::with_capacity(pods.len());
    for source in &pods {
        let mut row = Vec::with_capacity(pods.len());
        for destination in &pods {
            let reach = checker.reach(source, destination)?;
            row.push(reach.as_ref().map_or_else(|| "-".to_owned(), Reach::to_string));
        }
        cells.push(row);
    }
    Ok(group(&pods, &cells))
}

impl Matrix {
    /// Every pair, groups taken apart again.
    pub fn pairs(&self) -> impl Iterator<Item = Reachable<'_>> {
        self.cells.iter().zip(&self.groups).flat_map(move |(row, sources)| {
            row.iter().zip(&self.groups).flat_map(move |(allowed, destinations)| {
                sources.iter().flat_map(move |source| {
                    destinations
                        .iter()
                        .filter(move |it| *it != source)
                        .map(move |destination| Reachable { source, destination, allowed })
                })
            })
        })
    }
}

fn group(pods: &[String], cells: &[Vec<String>]) -> Matrix {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for pod in 0..pods.len() {
        match groups.iter_mut().find(|group| group.iter().all(|it| alike(cells, *it, pod))) {
            Some(group) => group.push(pod),
            None => groups.push(vec![pod]),
        }
    }
    // Of a group's traffic within itself, two of its pods are the example, if it has two.
    let cell = |from: &[usize], to: &[usize]| {
        let (from, to) = match (from, to) {
            ([first, second, ..], [same, ..]) if first == same => (first, second),
            ([first, ..], [other, ..]) => (first, other),
            _ => return String::new(),
        };
        cells[*from][*to].clone()
    };
    Matrix {
        cells: groups.iter().map(|from| groups.iter().map(|to| cell(from, to)).collect()).collect(),
        groups: groups
            .iter()
            .map(|group| group.iter().map(|pod| pods[*pod].clone()).collect())
            .collect(),
    }
}

/// Whether two pods reach, and are reached by, everybody else alike, and each other.
fn alike(cells: &[Vec<String>], one: usize, other: usize) -> bool {
    cells[one][other] == cells[other][one]
        && (0..cells.len()).filter(|third| *third != one && *third != other).all(|third| {
            cells[one][third] == cells[other][third] && cells[third][one] == cells[third][other]
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_share_a_row() {
        let pods = ["db-0", "web-0", "web-1"].map(str::to_owned);
        // web-0 and web-1 reach db-0 and not each other.
        let rows = [["all", "-", "-"], ["TCP 5432", "all", "-"], ["TCP 5432", "-", "all"]];
        let cells = rows.map(|row| row.map(str::to_owned).to_vec());
        let matrix = group(&pods, &cells);
        assert_eq!(matrix.groups, [&["db-0".to_owned()][..], &["web-0".into(), "web-1".into()]]);
        assert_eq!(matrix.cells, [["all", "-"], ["TCP 5432", "-"]]);
        let pairs: Vec<_> = matrix.pairs().collect();
        assert_eq!(pairs.len(), 6);
        let denied = Reachable { source: "web-1", destination: "web-0", allowed: "-" };
        assert!(pairs.contains(&denied));
    }
}
