//! The store's state as bytes for the next agent.

use prost::Message;
use proto::{state::v1 as saved, v1::apply_response};

use super::{from_proto, key, to_proto};
use crate::{
    dataplane::Stamp,
    refusal::Refusal,
    store::{Accepted, Answer, Answered, Held, HeldResource, Owner, State},
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
    let resources = state.held.iter().filter_map(|(key, held)| {
        let resource = state.world.get(key)?;
        let Held { owner, revision } = held.clone();
        Some(to_proto::held(&HeldResource { resource, owner, revision }))
    });
    saved::State {
        lineage: state.stamp.lineage.to_be_bytes().to_vec().into(),
        revision: state.stamp.revision,
        owners: state.owners.iter().map(|(name, owner)| owner_to_proto(name, owner)).collect(),
        resources: resources.collect(),
        compiler: state.compiler.clone().into(),
    }
    .encode_to_vec()
}

pub fn decode_state(bytes: &[u8]) -> Result<State, DecodeStateError> {
    let message = saved::State::decode(bytes)?;
    let lineage = message.lineage.as_ref().try_into();
    let lineage = lineage.map_err(|_| DecodeStateError::Field("lineage"))?;
    let mut state = State {
        stamp: Stamp { lineage: u128::from_be_bytes(lineage), revision: message.revision },
        compiler: message.compiler.into(),
        ..State::default()
    };
    for owner in message.owners {
        let name = owner.name.clone();
        state.owners.insert(name, owner_from_proto(owner)?);
    }
    for held in message.resources {
        let resource = held.resource.ok_or(DecodeStateError::Field("resource"))?;
        let resource = from_proto::resource("resources", resource).map_err(|refusals| {
            refusals
                .into_iter()
                .next()
                .map_or(DecodeStateError::Field("resource"), DecodeStateError::Resource)
        })?;
        let entry = Held { owner: held.owner, revision: held.revision };
        state.held.insert(resource.key(), entry);
        state.world.upsert(resource);
    }
    Ok(state)
}

fn owner_to_proto(name: &str, owner: &Owner) -> saved::Owner {
    let answered = owner.answered.iter().map(|answered| saved::Answered {
        nonce: answered.nonce,
        digest: answered.digest.to_vec().into(),
        answer: Some(to_proto::answer(&answered.answer)),
    });
    saved::Owner { name: name.to_owned(), writer_epoch: owner.epoch, answered: answered.collect() }
}

fn owner_from_proto(message: saved::Owner) -> Result<Owner, DecodeStateError> {
    let mut owner = Owner { epoch: message.writer_epoch, ..Owner::default() };
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
    Ok(owner)
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
