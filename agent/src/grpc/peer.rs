//! Who may use the socket.

use tonic::{Request, Status, transport::server::UdsConnectInfo};

/// Refuses requests on connections of other users than root and the agent's own.
pub(super) fn check(request: Request<()>) -> Result<Request<()>, Status> {
    let credentials =
        request.extensions().get::<UdsConnectInfo>().and_then(|connection| connection.peer_cred);
    let own = nix::unistd::geteuid().as_raw();
    match credentials.map(|peer| peer.uid()) {
        Some(uid) if allowed(uid, own) => Ok(request),
        Some(uid) => Err(Status::permission_denied(format!(
            "user {uid} may not talk to this agent; root and user {own} may"
        ))),
        None => Err(Status::permission_denied("who is asking is not known")),
    }
}

fn allowed(uid: u32, own: u32) -> bool {
    uid == 0 || uid == own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_the_agents_own_user_may_connect() {
        for (uid, own, expected) in
            [(0, 0, true), (0, 998, true), (998, 998, true), (1000, 998, false), (1000, 0, false)]
        {
            assert_eq!(allowed(uid, own), expected, "{uid} to an agent of {own}");
        }
    }

    #[test]
    fn a_connection_without_credentials_is_refused() {
        let refused = check(Request::new(())).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    }
}
