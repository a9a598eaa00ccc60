//! The store's state as bytes for the next agent.

use prost::{Message, bytes::Bytes};
use proto::{state::v1 as saved, v1::apply_response};

use super::{from_proto, key, to_proto};
use crate::{
    dataplane::Stamp,
    model::Key,
    refusal::Refusal,
    store::{Accepted, Answer, Answered, Change, Held, HeldResource, Owner, State},
};

/// Why bytes are not a state.
#[derive(Debug, thiserror::Error)]
pub enum DecodeStateError {
    #[error("the saved state cannot be decoded: {0}")]
    Encoding(#[from] prost::DecodeError),
    #[error("the saved state has no valid {0}")]
    Field(&'static str),
    #[error("the saved state holds what this agent refuses: {0}")]
    Resource(Refusal),
}

pub fn encode_state(state: &State) -> Vec<u8> {
    saved::State {
        lineage: lineage_to_proto(state),
        revision: state.stamp.revision,
        owners: state
            .owners
            .iter()
            .map(|(name, owner)| owner_to_proto(name, owner, &owner.answered))
            .collect(),
        resources: state.held.keys().filter_map(|key| held_to_proto(state, key)).collect(),
        compiler: state.compiler.clone().into(),
        saves: state.saves,
    }
    .encode_to_vec()
}

/// What `change` says is new in `state`, and what the compiler remembers.
pub fn encode_change(state: &State, change: &Change) -> Vec<u8> {
    let owner = state.owners.get(&change.owner).map(|owner| {
        let answered = change.nonce.and_then(|nonce| owner.answered(nonce));
        owner_to_proto(&change.owner, owner, answered)
    });
    let (held, gone): (Vec<_>, Vec<_>) =
        change.resources.iter().partition(|key| state.held.contains_key(*key));
    saved::Change {
        saves: state.saves,
        lineage: lineage_to_proto(state),
        revision: state.stamp.revision,
        owner,
        upserts: held.into_iter().filter_map(|key| held_to_proto(state, key)).collect(),
        removes: gone.into_iter().map(key::to_proto).collect(),
        compiler: state.compiler.clone().into(),
    }
    .encode_to_vec()
}

pub fn decode_state(bytes: &[u8]) -> Result<State, DecodeStateError> {
    let message = saved::State::decode(bytes)?;
    let mut state = State {
        stamp: stamp_from_proto(&message.lineage, message.revision)?,
        compiler: message.compiler.into(),
        saves: message.saves,
        ..State::default()
    };
    for owner in message.owners {
        owner_from_proto(owner, &mut state)?;
    }
    for held in message.resources {
        held_from_proto(held, &mut state)?;
    }
    Ok(state)
}

/// Brings a state up to date with a change that was saved after it. One that the state knows of
/// already says nothing new.
pub fn decode_change(bytes: &[u8], state: &mut State) -> Result<(), DecodeStateError> {
    let message = saved::Change::decode(bytes)?;
    if message.saves <= state.saves {
        return Ok(());
    }
    if message.saves != state.saves + 1 {
        return Err(DecodeStateError::Field("sequence of changes"));
    }
    state.saves = message.saves;
    state.stamp = stamp_from_proto(&message.lineage, message.revision)?;
    state.compiler = message.compiler.into();
    if let Some(owner) = message.owner {
        owner_from_proto(owner, state)?;
    }
    for key in message.removes {
        let key = key::from_proto(key).map_err(|_| DecodeStateError::Field("key"))?;
        state.held.remove(&key);
        state.world.remove(&key);
    }
    for held in message.upserts {
        held_from_proto(held, state)?;
    }
    Ok(())
}

fn lineage_to_proto(state: &State) -> Bytes {
    state.stamp.lineage.to_be_bytes().to_vec().into()
}

fn stamp_from_proto(lineage: &[u8], revision: u64) -> Result<Stamp, DecodeStateError> {
    let lineage = lineage.try_into().map_err(|_| DecodeStateError::Field("lineage"))?;
    Ok(Stamp { lineage: u128::from_be_bytes(lineage), revision })
}

fn held_to_proto(state: &State, key: &Key) -> Option<proto::v1::HeldResource> {
    let resource = state.world.get(key)?;
    let Held { owner, revision } = state.held.get(key)?.clone();
    Some(to_proto::held(&HeldResource { resource, owner, revision }))
}

fn held_from_proto(
    held: proto::v1::HeldResource,
    state: &mut State,
) -> Result<(), DecodeStateError> {
    let resource = held.resource.ok_or(DecodeStateError::Field("resource"))?;
    let resource = from_proto::resource("resources", resource).map_err(|refusals| {
        let first = refusals.into_iter().next();
        first.map_or(DecodeStateError::Field("resource"), DecodeStateError::Resource)
    })?;
    let entry = Held { owner: held.owner, revision: held.revision };
    state.held.insert(resource.key(), entry);
    state.world.upsert(resource);
    Ok(())
}

fn owner_to_proto<'a>(
    name: &str,
    owner: &Owner,
    answered: impl IntoIterator<Item = &'a Answered>,
) -> saved::Owner {
    let answered = answered.into_iter().map(|answered| saved::Answered {
        nonce: answered.nonce,
        digest: answered.digest.to_vec().into(),
        answer: Some(to_proto::answer(&answered.answer)),
    });
    saved::Owner { name: name.to_owned(), writer_epoch: owner.epoch, answered: answered.collect() }
}

/// Answers of an epoch add up; those of an earlier one are over.
fn owner_from_proto(message: saved::Owner, state: &mut State) -> Result<(), DecodeStateError> {
    let owner = state.owners.entry(message.name).or_default();
    if owner.epoch != message.writer_epoch {
        *owner = Owner { epoch: message.writer_epoch, ..Owner::default() };
    }
    for answered in message.answered {
        let digest = answered.digest.as_ref().try_into();
        owner.remember(Answered {
            nonce: answered.nonce,
            digest: digest.map_err(|_| DecodeStateError::Field("digest"))?,
            answer: answered
                .answer
                .and_then(|answer| answer.answer)
                .and_then(answer_from_proto)
                .ok_or(DecodeStateError::Field("answer"))?,
        });
    }
    Ok(())
}

fn answer_from_proto(answer: apply_response::Answer) -> Option<Answer> {
    use std::time::Duration;
    match answer {
        apply_response::Answer::Ack(ack) => Some(Answer::Accepted(Accepted {
            revision: ack.revision,
            compile: Duration::from_micros(ack.compile_microseconds),
            commit: Duration::from_micros(ack.commit_microseconds),
        })),
        apply_response::Answer::Nack(nack) => {
            let refusal = |refusal: proto::v1::Refusal| {
                let key = refusal.resource.map(key::from_proto).transpose().ok()?;
                Some(Refusal { key, field: refusal.field, reason: refusal.reason })
            };
            Some(Answer::Refused(nack.refusals.into_iter().map(refusal).collect::<Option<_>>()?))
        }
    }
}
