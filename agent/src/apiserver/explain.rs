//! What went wrong with the apiserver, for people.

use std::error::Error;

use kube::{core::Status, runtime::watcher};

/// The apiserver's own words, which name verb and resource; or what kept it from being asked.
pub(super) fn explain(error: &watcher::Error) -> String {
    match status(error) {
        Some(status) if !status.message.is_empty() => status.message.clone(),
        Some(status) => format!("the apiserver answers {} {}", status.code, status.reason),
        None => chain(error),
    }
}

/// What the apiserver answered, if it did.
pub(super) fn status(error: &watcher::Error) -> Option<&Status> {
    match error {
        watcher::Error::WatchError(status)
        | watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => Some(status),
        _ => None,
    }
}

/// An error and its causes, each said once: some say their cause themselves.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn the_apiservers_own_words_are_passed_on() {
        let status = |message: &str| {
            let (message, reason) = (message.to_owned(), "Forbidden".to_owned());
            Box::new(Status { code: 403, message, reason, ..Status::default() })
        };
        let denied = "pods is forbidden: User \"zg\" cannot list resource \"pods\"";
        let error = watcher::Error::InitialListFailed(kube::Error::Api(status(denied)));
        assert_eq!(explain(&error), denied);
        let error = watcher::Error::WatchError(status(""));
        assert_eq!(explain(&error), "the apiserver answers 403 Forbidden");
    }

    #[test]
    fn causes_are_said_once() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let error = watcher::Error::WatchStartFailed(kube::Error::Service(Box::new(refused)));
        let text = explain(&error);
        assert_eq!(text.matches("connection refused").count(), 1, "{text}");
    }
}
