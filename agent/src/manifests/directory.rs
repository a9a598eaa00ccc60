//! What a directory's files say together, through all their changes.

use std::collections::{BTreeMap, BTreeSet};

use super::reading::{Fault, Found, LeftOut, Reading, read};
use crate::{
    documents::{Place, locate},
    kubernetes::{
        Change, Effect, Object, ObjectKey, ObjectKind, Options, Outcome, Problem, Translator,
    },
    model::{Key, Resource},
    source_problem::SourceProblem,
};

/// The files of a directory by name: the text of each, or why it cannot be read.
pub type Contents = BTreeMap<String, Result<String, String>>;

/// The last good objects of every file, and what follows from them.
///
/// A file is *broken* when its text cannot be used as a whole; it then keeps the objects that it
/// had. An object that cannot be read keeps the form that it had in the same file. Of two files
/// with the same object the one whose name sorts first has it.
#[derive(Debug, Default)]
pub struct Directory {
    files: BTreeMap<String, File>,
    /// Every object in force, and the file that has it.
    objects: BTreeMap<ObjectKey, (String, Object)>,
    translator: Translator,
}

#[derive(Debug, Default)]
struct File {
    /// The text that was looked at last, or why there was none.
    seen: Option<Result<String, String>>,
    /// What is wrong with all of it.
    fault: Option<Fault>,
    /// Of the last text that was not broken; `None` before there was one.
    good: Option<BTreeMap<ObjectKey, Found>>,
    /// Objects of that text that nothing could be made of.
    left_out: Vec<LeftOut>,
    /// Objects that the text has again, with the place where it had them first.
    repeated: Vec<(Found, Place)>,
}

impl Directory {
    pub fn new(options: Options) -> Self {
        Self { translator: Translator::new(options), ..Self::default() }
    }

    /// Takes in what the directory holds now; tells which resources are different.
    pub fn update(&mut self, contents: Contents) -> Outcome {
        self.files.retain(|name, _| contents.contains_key(name));
        for (name, content) in contents {
            let file = self.files.entry(name).or_default();
            if file.seen.as_ref() != Some(&content) {
                file.look_at(content);
            }
        }
        self.renew()
    }

    /// Has what is different translated.
    fn renew(&mut self) -> Outcome {
        let mut now: BTreeMap<ObjectKey, (String, Object)> = BTreeMap::new();
        for (name, file) in &self.files {
            for (key, found) in file.good.iter().flatten() {
                let of = || (name.clone(), found.object.clone());
                now.entry(key.clone()).or_insert_with(of);
            }
        }
        let gone = self.objects.keys().filter(|key| !now.contains_key(*key));
        let mut changes: Vec<Change> = gone.cloned().map(Change::Remove).collect();
        for (key, (_, object)) in &now {
            if self.objects.get(key).map(|(_, before)| before) != Some(object) {
                changes.push(Change::Upsert(object.clone()));
            }
        }
        self.objects = now;
        self.translator.apply(changes)
    }

    /// A directory of texts that were read before, each with its name.
    pub fn of(readings: Vec<(String, String, Reading)>) -> Self {
        let mut directory = Self::default();
        for (name, text, reading) in readings {
            let mut file = File::default();
            file.accept(reading);
            file.seen = Some(Ok(text));
            directory.files.insert(name, file);
        }
        directory.renew();
        directory
    }

    /// Everything that is wrong now, in the order of files, then of objects.
    pub fn problems(&self) -> Vec<SourceProblem> {
        let of_files = self.files.iter().flat_map(|(name, file)| self.problems_of(name, file));
        let translated = self.translator.problems().map(|it| self.translated(it));
        of_files.chain(translated).collect()
    }

    /// All resources that the objects make.
    pub fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.translator.resources()
    }

    /// The objects in force, but for those that nothing can be made of.
    pub fn objects(&self) -> impl Iterator<Item = &ObjectKey> {
        let left_out: BTreeSet<&ObjectKey> = self
            .translator
            .problems()
            .filter(|it| it.effect == Effect::LeftOut)
            .map(|it| &it.object)
            .collect();
        self.objects.keys().filter(move |key| !left_out.contains(key))
    }

    /// Files of which it is not known what they held before they were broken: as a whole, or in
    /// an object whose resource is `held`. A service that cannot be used had a form, too.
    pub fn unknown(&self, held: impl Fn(&Key) -> bool) -> Vec<&str> {
        let lost = |it: &LeftOut| {
            it.key.as_ref().is_some_and(|key| {
                !self.objects.contains_key(key) && key.resource().is_some_and(|it| held(&it))
            })
        };
        let refused = self.translator.problems().filter(|it| {
            it.effect == Effect::LeftOut
                && it.object.kind == ObjectKind::Service
                && it.object.resource().is_some_and(|key| held(&key))
        });
        let with_refused: BTreeSet<&String> =
            refused.filter_map(|it| self.objects.get(&it.object)).map(|(name, _)| name).collect();
        let files = self.files.iter();
        files
            .filter(|(name, file)| {
                file.good.is_none() || file.left_out.iter().any(lost) || with_refused.contains(name)
            })
            .map(|(name, _)| name.as_str())
            .collect()
    }

    fn problems_of(&self, name: &str, file: &File) -> Vec<SourceProblem> {
        let mut problems = Vec::new();
        if let Some(fault) = &file.fault {
            let position = fault.position.or_else(|| {
                let place = fault.place.as_ref()?;
                locate(file.text()?, &place.join(&fault.field))
            });
            let effect = match &file.good {
                Some(good) if good.is_empty() => "the file held no objects before",
                Some(_) => "the file's last good objects hold",
                None => "nothing of the file holds",
            };
            problems.push(SourceProblem {
                file: name.to_owned(),
                line: position.map_or(0, |it| it.line as u32),
                column: position.map_or(0, |it| it.column as u32),
                object: String::new(),
                field: fault.field.clone(),
                reason: fault.reason.clone(),
                effect: effect.to_owned(),
            });
        }
        for it in &file.left_out {
            let holds = it.key.as_ref().is_some_and(|key| self.objects.contains_key(key));
            let effect = if holds { Effect::LastFormKept } else { Effect::LeftOut };
            let (object, reason) = (it.object.clone(), it.reason.clone());
            problems.push(file.problem(name, &it.place, object, &it.field, reason, effect));
        }
        for (found, first) in &file.repeated {
            problems.push(file.taken(name, found, name, file, first));
        }
        for (key, found) in file.good.iter().flatten() {
            let Some((holder, _)) = self.objects.get(key).filter(|(it, _)| it != name) else {
                continue;
            };
            let Some(other) = self.files.get(holder) else { continue };
            let Some(first) = other.good.as_ref().and_then(|good| good.get(key)) else { continue };
            problems.push(file.taken(name, found, holder, other, &first.place));
        }
        problems
    }

    /// What the translation says of an object, with the file and line of it.
    fn translated(&self, problem: &Problem) -> SourceProblem {
        let Problem { object, field, reason, effect } = problem;
        let known = self.objects.get(object).and_then(|(name, _)| {
            let file = self.files.get(name)?;
            Some((name, file, file.good.as_ref()?.get(object)?))
        });
        match known {
            Some((name, file, found)) => {
                let (object, reason) = (object.to_string(), reason.clone());
                file.problem(name, &found.place, object, field, reason, *effect)
            }
            None => problem.into(),
        }
    }
}

impl File {
    fn look_at(&mut self, content: Result<String, String>) {
        let reading = match &content {
            Ok(text) => read(text),
            Err(reason) => Err(Fault {
                place: None,
                position: None,
                field: String::new(),
                reason: reason.clone(),
            }),
        };
        match reading {
            Ok(reading) => self.accept(reading),
            Err(fault) => self.fault = Some(fault),
        }
        self.seen = Some(content);
    }

    fn accept(&mut self, reading: Reading) {
        for kind in &reading.passed_over {
            tracing::debug!(kind, "passed over");
        }
        self.fault = None;
        self.repeated.clear();
        let mut good: BTreeMap<ObjectKey, Found> = BTreeMap::new();
        for found in reading.objects {
            match good.get(found.object.key()) {
                Some(first) => self.repeated.push((found, first.place.clone())),
                None => drop(good.insert(found.object.key().clone(), found)),
            }
        }
        for it in &reading.left_out {
            let last = it.key.as_ref().and_then(|key| self.good.as_ref()?.get(key));
            if let (Some(key), Some(last)) = (&it.key, last) {
                let last = Found { object: last.object.clone(), place: it.place.clone() };
                good.entry(key.clone()).or_insert(last);
            }
        }
        self.left_out = reading.left_out;
        self.good = Some(good);
    }

    fn text(&self) -> Option<&str> {
        self.seen.as_ref()?.as_deref().ok()
    }

    fn problem(
        &self,
        name: &str,
        place: &Place,
        object: String,
        field: &str,
        reason: String,
        effect: Effect,
    ) -> SourceProblem {
        // Places are those of the last good text: in a broken one, they lead anywhere.
        let text = if self.fault.is_none() { self.text() } else { None };
        let position = text.and_then(|text| locate(text, &place.join(field)));
        SourceProblem {
            file: name.to_owned(),
            line: position.map_or(0, |it| it.line as u32),
            column: position.map_or(0, |it| it.column as u32),
            object,
            field: field.to_owned(),
            reason,
            effect: effect.to_string(),
        }
    }

    /// An object that is somewhere else, too.
    fn taken(
        &self,
        name: &str,
        found: &Found,
        holder: &str,
        other: &Self,
        first: &Place,
    ) -> SourceProblem {
        let object = found.object.key().to_string();
        let at = other.text().and_then(|text| locate(text, first));
        let line = at.map(|at| format!(":{}", at.line)).unwrap_or_default();
        let reason = format!("{holder}{line} has the same object");
        self.problem(name, &found.place, object, "", reason, Effect::LeftOut)
    }
}

#[cfg(test)]
mod tests;
