//! Authorization by enumeration (`reliability.md` P6, P10): every row of the management plane, every kind of caller.
//!
//! `authorization.txt` holds the expectation, one line a row, as the matrix of `keys.md` §8 has it under the policy
//! `creators = developers`: `401` and `403` are refusals, `own` reaches the caller's own objects only, `may` is anything
//! else. A row without its line fails here, and the message is the line to add after it has been thought about. For every
//! id in a path, what another organization has and what nobody has are the same bytes, and whatever is refused leaves
//! every table as it was.

use super::{Answer, World, text};
use crate::openapi;
use claviger_domain::endpoint::{Authentication, EndpointTable, Plane, Row};
use claviger_domain::id::{KeyId, SecretId, UserId};
use claviger_domain::key::{Class, MintedKey, Name, NewKey, Owner, StoredSecret};
use claviger_domain::right::Role;
use claviger_domain::secret::Pepper;
use claviger_domain::tenancy::{OrganizationState, TenantScope};
use claviger_domain::time::Clock as _;
use claviger_storage::{CreateKeyOutcome, DatabaseUrl, Engine};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const EXPECTED: &str = include_str!("authorization.txt");

/// Rows that ask for no credential (P10); whoever adds one adds it here, too.
const PUBLIC: &[&str] = &[
    "GET /api/auth/options",
    "POST /api/auth/device",
    "POST /api/auth/device/token",
    "POST /api/auth/email/verify",
    "GET /api/auth/oidc/{issuer}/start",
    "GET /api/auth/oidc/{issuer}/callback",
    "POST /api/auth/passkey/options",
    "POST /api/auth/passkey/verify",
    "POST /api/auth/password/forgot",
    "POST /api/auth/password/reset",
    "POST /api/auth/sign_in",
    "POST /api/auth/sign_up",
    "POST /api/invites/accept",
    "POST /api/setup",
    "POST /v1/agents/exchange",
    "POST /api/github/secret_scanning",
    "POST /v1/key/revoke",
    // The link is the credential: signed, for one result, for a day.
    "GET videos/{id}/content/{link}",
    "GET tasks/{id}/result/{link}",
];

/// Tables that a refusal may touch: when something was last used, and what was denied.
const UNCOUNTED: &[&str] = &["security_log", "denial", "replay"];

/// A kind of caller, weakest first.
const CALLERS: [&str; 8] = ["nobody", "inference", "viewer", "billing", "developer", "admin", "owner", "operator"];

pub(super) struct Stage {
    pub(super) world: World,
    clerk: Mutex<Clerk>,
    pub(super) keys: BTreeMap<&'static str, String>,
    /// By placeholder: an object of the caller's organization that the developer owns, one of the organization that
    /// somebody else owns, one of another organization.
    pub(super) ids: HashMap<&'static str, [String; 3]>,
}

/// Which object a path names at one placeholder.
#[derive(Clone, Copy, PartialEq)]
enum Whose {
    Own,
    Other,
    Foreign,
    Unknown,
    Malformed,
}

impl Stage {
    pub(super) async fn set() -> Self {
        Self::set_on(Engine::Sqlite).await
    }

    pub(super) async fn set_on(engine: Engine) -> Self {
        let (mut world, _) = World::set_up_on(engine).await;
        let foreign = world.organization("other", OrganizationState::Active).await;
        let acme = world.store.store.find_organization_by_slug("acme").await.unwrap().unwrap();
        let scope = TenantScope(acme.id);
        let policy = json!({ "creators": "developers" });
        let set = world.operator_in("acme", "POST", "/v1/organization/policy", &policy).await;
        assert_eq!(set.status, 200, "{}", set.body);

        let mut clerk = Clerk::new(&world);
        let mut keys = BTreeMap::new();
        let mut people = HashMap::new();
        for role in Role::ALL {
            let user = clerk.person(&mut world, &acme.id.to_string(), role.name());
            people.insert(role.name(), user);
            let (_, value) = world.stored_key(scope, Class::Admin, Some(*role), Owner::User(user)).await;
            keys.insert(role.name(), value);
        }
        let developer = Owner::User(people["developer"]);
        let (own, inference) = world.stored_key(scope, Class::Inference, None, developer).await;
        keys.insert("inference", inference);
        let (other, _) = world.stored_key(scope, Class::Inference, None, Owner::User(people["owner"])).await;
        let stranger = clerk.person(&mut world, &foreign.to_string(), "owner");
        let (theirs, _) = world.stored_key(TenantScope(foreign), Class::Inference, None, Owner::User(stranger)).await;
        let credit = json!({ "organization": "other", "amount": "1", "reason": "to be charged" });
        assert_eq!(world.operator("POST", "/api/operator/grants", &credit).await.status, 200);
        let mut requests = Vec::new();
        for (key, number) in [own, other, theirs].into_iter().zip(1_u128..) {
            requests.push(match engine {
                Engine::Sqlite => super::money::charge_to(&world, key, number << 80).await.id.to_string(),
                // A charge needs a node with a lease there, and who uses this stage there reads no records.
                Engine::Postgres => "req_0000000000000000000001".to_owned(),
            });
        }
        // What is counted from here on has every charge already: a reader of records waits for the journal.
        let page = claviger_storage::PageRequest::default();
        world.store.store.list_requests(scope, &claviger_storage::RequestFilter::default(), &page).await.unwrap();
        let mut ids = HashMap::from([
            ("request", [requests[0].clone(), requests[1].clone(), requests[2].clone()]),
            ("key", [own, other, theirs].map(|id| id.to_string())),
            ("organization", [acme.id, acme.id, foreign].map(|id| id.to_string())),
            ("user", [people["viewer"], people["billing"], stranger].map(|id| id.to_string())),
        ]);
        let theirs = world.store.store.find_organization(foreign).await.unwrap().unwrap();
        let default = acme.default_environment;
        ids.insert("project", [default, default, theirs.default_environment].map(|id| id.to_string()));
        let mut made = Vec::new();
        for organization in ["acme", "other"] {
            let body = json!({ "name": "place" });
            let answer = world.operator_in(organization, "POST", "/v1/organization/registries", &body).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            made.push(text(&answer.body["id"]).to_owned());
        }
        ids.insert("registry", [made[0].clone(), made[0].clone(), made[1].clone()]);
        let mut made = Vec::new();
        for (organization, at) in [("acme", 0), ("other", 2)] {
            let path = format!("/v1/organization/projects/{}/service_accounts", ids["project"][at]);
            let body = json!({ "name": "robot", "create_service_account_only": true });
            let answer = world.operator_in(organization, "POST", &path, &body).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            made.push(text(&answer.body["id"]).to_owned());
        }
        ids.insert("agent", [made[0].clone(), made[0].clone(), made[1].clone()]);
        Self { world, clerk: Mutex::new(clerk), keys, ids }
    }

    /// How many rows each table has.
    fn rows(&self) -> String {
        self.clerk.lock().ask("count")
    }

    /// The path of a row, with one placeholder naming an object of this kind and the others the caller's own.
    fn path(&self, row: &Row, at: Option<(&str, Whose)>) -> String {
        let parts = row.path.split('/').map(|part| {
            let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else {
                return part.to_owned();
            };
            let whose = at.filter(|(placeholder, _)| *placeholder == name).map_or(Whose::Own, |(_, whose)| whose);
            match (self.ids.get(name), whose) {
                (Some(ids), Whose::Own) => ids[0].clone(),
                (Some(ids), Whose::Other) => ids[1].clone(),
                (Some(ids), Whose::Foreign) => ids[2].clone(),
                (_, Whose::Malformed) => "x".to_owned(),
                (_, _) => unknown(name),
            }
        });
        parts.collect::<Vec<_>>().join("/")
    }

    async fn ask(&self, caller: &str, row: &Row, path: &str) -> Answer {
        let (method, body) = (row.method.name(), openapi::sample(row.operation, row.method));
        match caller {
            "nobody" => self.world.network(method, path, &[], &body).await,
            "operator" if row.authentication == Authentication::Operator => {
                self.world.operator(method, path, &body).await
            }
            "operator" => self.world.operator_in("acme", method, path, &body).await,
            key => self.world.with(&self.keys[key], method, path, &body).await,
        }
    }

    /// One line of the table: what each caller gets, while everything refused changes nothing.
    async fn line(&self, row: &Row) -> String {
        let mut cells = Vec::new();
        for caller in CALLERS {
            let before = self.rows();
            let mut is_refused = true;
            for name in placeholders(row).filter(|name| is_tenants(row, name)) {
                let unknown = self.ask(caller, row, &self.path(row, Some((name, Whose::Unknown)))).await;
                for whose in [Whose::Foreign, Whose::Malformed] {
                    let path = self.path(row, Some((name, whose)));
                    let other = self.ask(caller, row, &path).await;
                    let place = format!("{caller} {} {path}", row.method.name());
                    assert!(unknown.status >= 400, "{place}: {}", unknown.body);
                    assert_eq!(unknown.bytes, other.bytes, "{place}");
                    assert_eq!((unknown.status, &unknown.headers), (other.status, &other.headers), "{place}");
                    assert!(matches!(other.status, 401 | 403 | 404), "{place}: {}", other.body);
                }
            }
            let other = placeholders(row).find(|name| matches!(*name, "key" | "request"));
            let other = other.map(|name| self.path(row, Some((name, Whose::Other))));
            // Only the developer has objects of one's own here; for the others the second is as good as the first.
            let beyond = match other.filter(|_| caller == "developer") {
                Some(path) => Some(verdict(&self.ask(caller, row, &path).await)),
                None => None,
            };
            let own = self.ask(caller, row, &self.path(row, None)).await;
            let mut cell = verdict(&own);
            is_refused &= cell != "may" && beyond != Some("may");
            if cell == "may" && beyond == Some("403") {
                cell = "own";
            }
            if is_refused {
                assert_eq!(before, self.rows(), "{caller} {} {}: a refusal wrote", row.method.name(), row.path);
            }
            cells.push(format!("{caller} {cell}"));
        }
        format!("{} {} | {}", row.method.name(), row.path, cells.join(" · "))
    }
}

fn placeholders(row: &Row) -> impl Iterator<Item = &'static str> {
    row.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// Whether an id belongs to an organization, so that another's is foreign. The operator's own rows cross organizations.
fn is_tenants(row: &Row, name: &str) -> bool {
    !matches!(name, "organization" | "job" | "model*") && row.authentication != Authentication::Operator
        || name == "key"
}

/// Whether a row asks for no credential: what it is given decides, and is tested with each of them.
fn is_open(row: &Row) -> bool {
    use Authentication::{Possession, Public, Signature};
    matches!(row.authentication, Public | Signature | Possession)
}

fn verdict(answer: &Answer) -> &'static str {
    match answer.status {
        401 => "401",
        403 => "403",
        _ => "may",
    }
}

/// A well-formed id that nobody has.
fn unknown(name: &str) -> String {
    let prefix = match name {
        "key" => return "key_000000000000".to_owned(),
        "epoch" => return "9000000000".to_owned(),
        "project" => "env",
        "organization" => "org",
        "registry" => "reg",
        "agent" => "agt",
        "user" => "usr",
        "request" => "req",
        "invite" => "inv",
        "secret" => "sec",
        "session" => "ses",
        "passkey" => "pky",
        "trust" => "trs",
        "model*" => return "*".to_owned(),
        _ => "xxx",
    };
    format!("{prefix}_0000000000000000000000")
}

impl World {
    async fn stored_key(
        &mut self,
        scope: TenantScope,
        class: Class,
        role: Option<Role>,
        owner: Owner,
    ) -> (KeyId, String) {
        let at = self.clock.now().wall;
        let id = KeyId::generate(&mut self.random);
        let minted = MintedKey::mint("clv_", false, id, &mut self.random);
        let pepper = Pepper::new(2, [2; 32]);
        let digest = pepper.digest(minted.text.expose().as_bytes());
        let secret = SecretId::generate(at, &mut self.random);
        let secret = StoredSecret::new(secret, digest, 2, minted.redacted.clone(), at);
        let name = Name::parse("staged").unwrap();
        let new = NewKey { class, role, owner: Some(owner), ..NewKey::new(id, name, secret) };
        let by = claviger_domain::audit::Attribution::local(claviger_domain::audit::Actor::System, "test", at);
        let made = self.store.store.create_key(scope, new, &by).await.unwrap();
        assert!(matches!(made, CreateKeyOutcome::Created { .. }));
        (id, minted.text.expose().clone())
    }
}

/// Reads and writes the database behind the store's back: one process for as long as the stage stands.
struct Clerk {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

const CLERK: &str = "import sqlite3,sys
c=sqlite3.connect(sys.argv[1], timeout=10, isolation_level=None)
for line in sys.stdin:
    if line.strip()=='count':
        t=[r[0] for r in c.execute(\"SELECT name FROM sqlite_master WHERE type='table' ORDER BY name\")]
        print([(n, c.execute(f'SELECT COUNT(*) FROM \"{n}\"').fetchone()[0]) for n in t if n not in sys.argv[2:]], flush=True)
    else:
        c.execute(line); print('done', flush=True)
";

/// Writes only: rows are counted on SQLite.
const POSTGRES_CLERK: &str = "while IFS= read -r line; do \
    psql -qX --dbname \"$1\" --command \"$line\" </dev/null && echo done; done";

impl Clerk {
    fn new(world: &World) -> Self {
        let mut command = match world.store.database.url() {
            DatabaseUrl::Sqlite(path) => {
                let mut command = Command::new("python3");
                command.arg("-c").arg(CLERK).arg(path).args(UNCOUNTED);
                command
            }
            DatabaseUrl::Postgres(url) => {
                let mut command = Command::new("sh");
                command.args(["-c", POSTGRES_CLERK, "sh", url]);
                command
            }
        };
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a clerk comes");
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    fn ask(&mut self, line: &str) -> String {
        writeln!(self.input, "{line}").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        assert!(!answer.is_empty(), "the clerk died of: {line}");
        answer
    }

    /// A person with this role: how people join is not what is tested here.
    fn person(&mut self, world: &mut World, organization: &str, role: &str) -> UserId {
        let id = UserId::generate(world.clock.now().wall, &mut world.random);
        self.ask(&format!(
            "INSERT INTO users (id, email, password_hash, created_at) VALUES ('{id}', '{id}@example.org', 'x', 0)"
        ));
        self.ask(&format!(
            "INSERT INTO membership (org_id, user_id, role, created_at) VALUES ('{organization}', '{id}', '{role}', 0)"
        ));
        id
    }
}

impl Drop for Clerk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn every_row_lets_in_whom_the_table_says_and_nobody_else() {
    let expected: Vec<&str> = EXPECTED.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let mut missing = Vec::new();
    let mut seen = 0;
    for row in EndpointTable::rows().filter(|row| row.plane == Plane::Management && !is_open(row)) {
        // A fresh stage a row: what one row changes is no business of the next.
        let line = Stage::set().await.line(row).await;
        seen += 1;
        if !expected.contains(&line.as_str()) {
            missing.push(line);
        }
    }
    assert!(missing.is_empty(), "authorization.txt does not say this; if it is right, let it:\n{}", missing.join("\n"));
    assert_eq!(seen, expected.len(), "authorization.txt has lines of rows that are gone");
}

#[test]
fn only_the_pinned_rows_ask_for_no_credential() {
    let rows: Vec<String> = EndpointTable::rows()
        .filter(|row| is_open(row))
        .map(|row| format!("{} {}", row.method.name(), row.path))
        .collect();
    let unpinned: Vec<&String> = rows.iter().filter(|row| !PUBLIC.contains(&row.as_str())).collect();
    assert!(unpinned.is_empty(), "{unpinned:?}");
    let is_closed = |line: &&str| line.starts_with('#') || line.contains("| nobody 401");
    assert!(EXPECTED.lines().all(|line| is_closed(&line)), "a row lets nobody in that is not public");
}

#[tokio::test]
async fn s0_22_by_default_only_owners_create_and_revoke() {
    let stage = Stage::set().await;
    let policy = json!({ "creators": "owners" });
    stage.world.operator_in("acme", "POST", "/v1/organization/policy", &policy).await;
    let key = format!("/v1/organization/api_keys/{}", stage.ids["key"][0]);
    for caller in ["viewer", "billing", "developer", "admin"] {
        let create = stage.world.with(&stage.keys[caller], "POST", super::KEYS, &json!({ "name": "a" })).await;
        assert_eq!(create.refusal(), (403, "permission_denied"), "{caller}");
        let revoke = stage.world.with(&stage.keys[caller], "DELETE", &key, &Value::Null).await;
        assert_eq!(revoke.refusal(), (403, "permission_denied"), "{caller}");
    }
    let owner = &stage.keys["owner"];
    assert_eq!(stage.world.with(owner, "POST", super::KEYS, &json!({ "name": "a" })).await.status, 200);
    assert_eq!(stage.world.with(owner, "DELETE", &key, &Value::Null).await.status, 200);
}

#[tokio::test]
async fn an_admin_key_falls_with_its_owners_role() {
    let stage = Stage::set().await;
    let admin = &stage.keys["admin"];
    let path = "/v1/organization/projects";
    assert_eq!(stage.world.with(admin, "POST", path, &json!({ "name": "one" })).await.status, 200);
    stage.clerk.lock().ask("UPDATE membership SET role = 'viewer' WHERE role = 'admin'");
    let demoted = stage.world.with(admin, "POST", path, &json!({ "name": "two" })).await;
    assert_eq!(demoted.refusal(), (403, "permission_denied"));
    assert_eq!(stage.world.with(admin, "GET", path, &Value::Null).await.status, 200);
    stage.clerk.lock().ask("DELETE FROM membership WHERE role = 'viewer'");
    assert_eq!(stage.world.with(admin, "GET", path, &Value::Null).await.refusal(), (403, "permission_denied"));
}
