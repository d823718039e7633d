//! How a command reaches the management endpoints: the socket of a running server, this very process when none runs, or
//! TCP with an admin key. The requests are the same on all three.

use super::arguments::Global;
use super::connection;
use super::profiles::{DEFAULT, Profile, Profiles};
use super::{Failure, Kind};
use crate::config::{self, Variables};
use crate::data_directory::DataDirectory;
use crate::instance::Instance;
use crate::serve::OtherNodes;
use bytes::Bytes;
use claviger_control::{AwaitRights, Control, NoNodes, Origin};
use claviger_domain::endpoint::EndpointTable;
use claviger_domain::id::RequestId;
use claviger_domain::limits;
use claviger_domain::secret::Secret;
use claviger_domain::time::Clock;
use claviger_gateway::Watchtower;
use claviger_storage::{Engine, OpenError, Store};
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long a server that holds the lock is waited for: 2 s.
const STARTING_PROBES: usize = 20;
const STARTING_PROBE: Duration = Duration::from_millis(100);

/// Names the organization that a request is about.
const ORGANIZATION: &str = "x-claviger-organization";

/// A way to the endpoints.
pub(super) struct Transport {
    way: Way,
    organization: Option<String>,
    /// The data directory, where one is acted on.
    place: Option<PathBuf>,
    /// Changes are printed and not sent.
    is_dry: bool,
}

enum Way {
    Socket(PathBuf),
    InProcess { control: Control, table: EndpointTable, clock: Arc<dyn Clock>, store: Store },
    Tcp { url: String, key: Secret<String> },
}

/// A reply that is no refusal.
pub(super) struct Reply {
    pub(super) body: Value,
}

impl Transport {
    /// A key for a server elsewhere.
    pub(super) fn with_key(url: &str, key: Secret<String>) -> Result<Self, Failure> {
        Ok(Self {
            way: Way::Tcp { url: connection::checked_url(url)?, key },
            organization: None,
            place: None,
            is_dry: false,
        })
    }

    /// `--url` and `--profile` decide for TCP; else a server on the data directory is asked; else the store is opened, under its lock.
    /// A directory is made only where `may_make` and it was named: a set-up in the wrong place would make a second instance
    /// that no server knows.
    pub(super) async fn choose(global: &Global, variables: &Variables, may_make: bool) -> Result<Self, Failure> {
        let is_dry = global.dry_run;
        let organization = global.organization.clone();
        if let Some(url) = &global.url {
            let url = connection::checked_url(url)?;
            let key = match &global.admin_key_file {
                Some(file) => config::read_secret(file)?,
                None => Profiles::of(variables)?.find_by_url(&url)?.map(|(_, key)| key).ok_or_else(|| {
                    let what = "--url needs --admin-key-file FILE, or a login there: no flag takes a key itself";
                    Failure::new(Kind::Usage, what).next(format!("claviger login --url {url}"))
                })?,
            };
            return Ok(Self { way: Way::Tcp { url, key }, organization, place: None, is_dry });
        }
        if let Some(name) = &global.profile {
            let found = Profiles::of(variables)?.find(name)?;
            let (profile, key) = found.ok_or_else(|| super::login::nobody(name))?;
            let way = Way::Tcp { url: connection::checked_url(&profile.url)?, key };
            return Ok(Self { way, organization, place: None, is_dry });
        }
        let config = config::load(&global.flags(), variables)?;
        let directory = match DataDirectory::find(&config.data)? {
            Some(directory) => directory,
            None if may_make && (global.flags().data.is_some() || !config.has_default_data()) => {
                DataDirectory::open_or_make(&config.data)?
            }
            None if !may_make && let Some((profile, key)) = signed_in(global, variables)? => {
                let way = Way::Tcp { url: connection::checked_url(&profile.url)?, key };
                return Ok(Self { way, organization, place: None, is_dry });
            }
            None => {
                let what = format!("there is no data directory {}", config.data.display());
                let next = "start `claviger serve` first, or name it with --data DIR";
                return Err(Failure::new(Kind::NotFound, what).next(next));
            }
        };
        let place = std::fs::canonicalize(&config.data).ok();
        // A set-up makes the first organization: there is none to mean.
        let used = || Profiles::of(variables).ok()?.used_organization(place.as_deref()?);
        let organization = organization.or_else(|| if may_make { None } else { used() });
        let socket = directory.socket();
        if connection::is_served(&socket).await {
            return Ok(Self { way: Way::Socket(socket), organization, place, is_dry });
        }
        let instance = match Instance::open(&config, &directory).await {
            Ok(instance) => instance,
            // A server that is just starting holds the lock before it opens its socket.
            Err(error) if is_locked(&error) && is_starting(&socket).await => {
                return Ok(Self { way: Way::Socket(socket), organization, place, is_dry });
            }
            Err(error) => return Err(error.into()),
        };
        let listen = config.listen.parse().map(crate::serve::url_of);
        let url = config.public_url.clone().or(listen.ok()).unwrap_or_default();
        // On SQLite the lock of the directory says that nobody serves; on Postgres others may, elsewhere.
        let rights: Arc<dyn AwaitRights> = match instance.store.engine() {
            Engine::Sqlite => Arc::new(NoNodes),
            Engine::Postgres => {
                let clock = Arc::clone(&instance.clock);
                Arc::new(OtherNodes(Watchtower::new(instance.store.clone(), clock, limits::VALIDITY_MAX)))
            }
        };
        let control = instance.control(&config, rights, url);
        let way = Way::InProcess { control, table: EndpointTable::new(), clock: instance.clock, store: instance.store };
        Ok(Self { way, organization, place, is_dry })
    }

    /// Sends changes also in a dry run: the server itself is told that it is one.
    pub(super) fn send_changes(&mut self) {
        self.is_dry = false;
    }

    /// The data directory, where one is acted on.
    pub(super) fn place(&self) -> Option<&Path> {
        self.place.as_deref()
    }

    /// Ends what the target names.
    pub(super) async fn delete(&self, target: &str) -> Result<Reply, Failure> {
        self.send(Method::DELETE, target, &[], None).await
    }

    /// Reads.
    pub(super) async fn get(&self, target: &str) -> Result<Reply, Failure> {
        self.send(Method::GET, target, &[], None).await
    }

    /// Reads of this organization, whichever is meant else.
    pub(super) async fn get_in(&self, organization: &str, target: &str) -> Result<Reply, Failure> {
        self.send(Method::GET, target, &[(ORGANIZATION, organization)], None).await
    }

    /// Acts.
    pub(super) async fn post(&self, target: &str, body: &Value) -> Result<Reply, Failure> {
        self.post_with(target, &[], body).await
    }

    /// Acts, with headers such as `If-Match`.
    pub(super) async fn post_with(
        &self,
        target: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Result<Reply, Failure> {
        self.send(Method::POST, target, headers, Some(body)).await
    }

    /// Reads what is no JSON object, such as lines.
    pub(super) async fn get_text(&self, target: &str) -> Result<String, Failure> {
        let bytes = self.exchange(Method::GET, target, &[], None).await?;
        String::from_utf8(bytes.to_vec()).map_err(|_| Failure::new(Kind::Failed, "the server's answer is no text"))
    }

    /// Lets go of the store, if this process holds it.
    pub(super) async fn close(self) {
        if let Way::InProcess { control, store, .. } = self.way {
            drop(control);
            store.close().await;
        }
    }

    async fn send(
        &self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Reply, Failure> {
        let bytes = self.exchange(method, target, headers, body).await?;
        Ok(Reply { body: serde_json::from_slice(&bytes).unwrap_or_default() })
    }

    async fn exchange(
        &self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Bytes, Failure> {
        if self.is_dry && changes(&method, target) {
            return Err(unsent(&method, target, body));
        }
        let mut request = Request::builder().method(method).uri(target).header(header::HOST, "claviger");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let is_named = headers.iter().any(|(name, _)| *name == ORGANIZATION);
        if let Some(organization) = self.organization.as_ref().filter(|_| !is_named) {
            request = request.header(ORGANIZATION, organization);
        }
        let bytes = match body {
            None => Bytes::new(),
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
        };
        let request = request
            .body(Full::new(bytes))
            .map_err(|error| Failure::new(Kind::Usage, format!("this cannot be asked: {error}")))?;
        let (status, request_id, body) = match &self.way {
            Way::Socket(path) => connection::over_socket(path, request).await?,
            Way::Tcp { url, key } => connection::over_tcp(url, Some(key), request).await?,
            Way::InProcess { control, table, clock, .. } => in_process(control, table, clock.as_ref(), request).await?,
        };
        if status >= 400 {
            let refused: Value = serde_json::from_slice(&body).unwrap_or_default();
            return Err(Failure::of_reply(status, &refused, request_id.as_deref()));
        }
        Ok(body)
    }
}

/// What is asked by POST and changes nothing.
const READS: [&str; 5] = [
    "/api/operator/providers/detect",
    "/v1/keys/verify",
    "/v1/organization/api_keys/lookup",
    "/api/operator/ledger/verify",
    "/api/operator/audit/verify",
];

fn changes(method: &Method, target: &str) -> bool {
    *method != Method::GET && !READS.contains(&target.split('?').next().unwrap_or_default())
}

/// Prints a request instead of sending it; secrets are not repeated.
fn unsent(method: &Method, target: &str, body: Option<&Value>) -> Failure {
    let mut body = body.cloned().unwrap_or_default();
    for secret in ["password", "credential"] {
        if let Some(text) = body.get_mut(secret) {
            *text = Value::from("…");
        }
    }
    super::say(serde_json::json!({ "method": method.as_str(), "path": target, "body": body }));
    Failure::new(Kind::Unsent, "A dry run: nothing was sent.")
}

/// The profile of whoever names neither a profile nor a directory, if they are signed in.
fn signed_in(global: &Global, variables: &Variables) -> Result<Option<(Profile, Secret<String>)>, Failure> {
    match Profiles::of(variables) {
        Ok(profiles) if global.data.is_none() && global.database_url.is_none() => profiles.find(DEFAULT),
        _ => Ok(None),
    }
}

fn is_locked(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(OpenError::DirectoryInUse { .. }))
}

/// Whether a server opens the socket within a moment.
async fn is_starting(socket: &Path) -> bool {
    for _ in 0..STARTING_PROBES {
        if connection::is_served(socket).await {
            return true;
        }
        tokio::time::sleep(STARTING_PROBE).await;
    }
    false
}

async fn in_process(
    control: &Control,
    table: &EndpointTable,
    clock: &dyn Clock,
    request: Request<Full<Bytes>>,
) -> Result<connection::Raw, Failure> {
    let matched = table
        .find(request.method().as_str(), request.uri().path())
        .map_err(|_miss| Failure::new(Kind::NotFound, format!("there is no endpoint {}", request.uri().path())))?;
    let id = RequestId::generate(clock.now().wall, &mut crate::random::SystemRandom);
    let response = control.answer(Origin::LocalOperator, matched, request, id).await;
    let (head, body) = response.into_parts();
    let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    Ok((head.status.as_u16(), Some(id.to_string()), bytes))
}

/// A target with the parameters that are given.
pub(super) fn target(path: &str, parameters: &[(&str, Option<&str>)]) -> String {
    let mut target = path.to_owned();
    for (name, value) in parameters.iter().filter_map(|(name, value)| Some((name, (*value)?))) {
        target.push(if target.contains('?') { '&' } else { '?' });
        target.push_str(&format!("{name}={}", crate::percent::encoded(value)));
    }
    target
}
