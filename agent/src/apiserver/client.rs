//! Which apiserver, and as whom.

use std::{
    env,
    path::{Path, PathBuf},
    time::Duration,
};

use kube::{
    Client, Config,
    config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError},
};

/// Why there is no client. An apiserver that does not answer is no such reason.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("cannot use the kubeconfig {path}: {source}")]
    Kubeconfig { path: PathBuf, source: KubeconfigError },
    #[error(
        "no apiserver is known: there is no --kubeconfig, this is no pod of a cluster \
         (KUBERNETES_SERVICE_HOST), and the default kubeconfig cannot be used: {0}"
    )]
    Unknown(KubeconfigError),
    #[error("this is a pod of a cluster, but its service account cannot be used: {0}")]
    InCluster(#[from] InClusterError),
    #[error("cannot use the credentials: {0}")]
    Credentials(#[from] kube::Error),
}

/// A client after `kubeconfig`; without one as the pod's service account, and outside of a cluster
/// after `$KUBECONFIG` or `~/.kube/config`. Nothing is asked of the apiserver yet.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Client, ClientError> {
    let options = KubeConfigOptions::default();
    let mut config = if let Some(path) = kubeconfig {
        let failed = |source| ClientError::Kubeconfig { path: path.to_owned(), source };
        let file = Kubeconfig::read_from(path).map_err(failed)?;
        Config::from_custom_kubeconfig(file, &options).await.map_err(failed)?
    } else if env::var_os(IN_CLUSTER).is_some() {
        Config::incluster()?
    } else {
        Config::from_kubeconfig(&options).await.map_err(ClientError::Unknown)?
    };
    config.read_timeout = Some(SILENCE);
    config.reset_reader_on_write = true;
    Ok(Client::try_from(config)?)
}

/// What Kubernetes sets in every pod.
const IN_CLUSTER: &str = "KUBERNETES_SERVICE_HOST";
/// A connection that says nothing for so long is given up: an apiserver sends bookmarks every
/// minute (`bookmarkFrequency` in `k8s.io/apiserver/pkg/storage/cacher`).
const SILENCE: Duration = Duration::from_secs(90);
