//! P7 by sequences of real calls: whatever is made or edited, by whomever, is never more than whoever does it (`keys.md`
//! §8, `reliability.md` P7). The pure rule has its hundred thousand cases in `domain::rights`; here the calls go through
//! routing, authentication, authorization and the store.
//!
//! The judge is a table of its own, so that it cannot agree with a bug by sharing the rule.

use super::authorization::Stage;
use super::{KEYS, text};
use claviger_storage::Engine;
use claviger_testkit::rng::SeededRandom;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};

/// For each role, those that may everything it may, under `creators = developers`.
const AT_MOST: [(&str, &[&str]); 5] = [
    ("owner", &["owner"]),
    ("admin", &["owner", "admin"]),
    ("developer", &["owner", "admin", "developer"]),
    ("billing", &["owner", "billing"]),
    ("viewer", &["owner", "admin", "viewer"]),
];
const ROLES: [&str; 5] = ["owner", "admin", "developer", "billing", "viewer"];
const MODELS: [&str; 4] = ["a/*", "a/x", "b/x", "c/x"];
/// On SQLite, the others on Postgres.
const ON_SQLITE: u64 = 4;
const SEQUENCES: u64 = 6;
const CALLS: u64 = 200;

/// A credential, as the judge sees it.
#[derive(Clone, Debug)]
struct Actor {
    value: String,
    /// Its own role, and the person whose role bounds it.
    role: String,
    owner: String,
    models: Option<Vec<String>>,
    rpm: Option<u64>,
}

struct Ladder {
    stage: Stage,
    random: SeededRandom,
    actors: Vec<Actor>,
    /// What people are now, by id.
    people: HashMap<String, String>,
    /// Keys that can be edited.
    keys: Vec<String>,
    /// Those that are disabled: enabling another one changes nothing.
    disabled: HashSet<String>,
    agents: String,
    done: u64,
    refused: u64,
}

/// The answers of that API use OpenAI's words: a member is a developer, a reader a viewer.
fn ours(role: &str) -> &str {
    match role {
        "member" => "developer",
        "reader" => "viewer",
        other => other,
    }
}

impl Ladder {
    async fn set(seed: u64) -> Self {
        let stage = Stage::set_on(if seed <= ON_SQLITE { Engine::Sqlite } else { Engine::Postgres }).await;
        let members =
            stage.world.with(&stage.keys["owner"], "GET", "/v1/organization/users?limit=100", &Value::Null).await;
        let people = members.body["data"].as_array().into_iter().flatten();
        let people: HashMap<String, String> =
            people.map(|row| (text(&row["id"]).to_owned(), ours(text(&row["role"])).to_owned())).collect();
        let mut actors = Vec::new();
        for role in ROLES {
            let value = stage.keys[role].clone();
            let listed = stage.world.with(&value, "GET", &format!("{KEYS}?class=admin&limit=100"), &Value::Null).await;
            let own = listed.body["data"].as_array().into_iter().flatten().find(|key| {
                text(&key["role"]) == role && text(&key["redacted_value"]).ends_with(&value[value.len() - 4..])
            });
            let owner = text(&own.expect("it lists itself")["owner"]["id"]).to_owned();
            actors.push(Actor { value, role: role.to_owned(), owner, models: None, rpm: None });
        }
        let agents = format!("/v1/organization/projects/{}/service_accounts", stage.ids["project"][0]);
        let keys = vec![stage.ids["key"][0].clone(), stage.ids["key"][1].clone()];
        Self {
            stage,
            random: SeededRandom::new(seed),
            actors,
            people,
            keys,
            disabled: HashSet::new(),
            agents,
            done: 0,
            refused: 0,
        }
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        let place = self.random.below(from.len() as u64);
        from[usize::try_from(place).unwrap_or(0)].clone()
    }

    fn restrictions(&mut self) -> (Value, Value) {
        let models = match self.random.below(3) {
            0 => Value::Null,
            _ => json!([self.pick(&MODELS)]),
        };
        let rpm = match self.random.below(3) {
            0 => Value::Null,
            _ => json!(1 + self.random.below(100)),
        };
        (models, rpm)
    }

    /// Roles of an actor at this moment: its own, and that of whoever owns it.
    fn bounds(&self, actor: &Actor) -> [String; 2] {
        [actor.role.clone(), self.people.get(&actor.owner).cloned().unwrap_or_default()]
    }

    fn judge_role(&self, actor: &Actor, role: &str, what: &str) {
        let stronger = AT_MOST.iter().find(|(name, _)| *name == role).map_or(&[][..], |(_, list)| *list);
        for bound in self.bounds(actor) {
            assert!(stronger.contains(&bound.as_str()), "{what}: {role} came of {bound}: {actor:?}");
        }
    }

    fn judge_key(&self, actor: &Actor, key: &Value, what: &str) {
        if text(&key["class"]) == "admin" {
            self.judge_role(actor, text(&key["role"]), what);
        }
        if let Some(mine) = &actor.models {
            let list: Option<Vec<&str>> =
                key["policy"]["models"].as_array().map(|list| list.iter().map(text).collect());
            let within = |model: &&str| mine.iter().any(|own| own == model || own == "a/*" && model.starts_with("a/"));
            assert!(list.is_some_and(|list| list.iter().all(within)), "{what}: models of {key} beyond {actor:?}");
        }
        if let Some(most) = actor.rpm {
            assert!(
                key["limits"]["rpm"].as_u64().is_some_and(|rpm| rpm <= most),
                "{what}: rpm of {key} beyond {actor:?}"
            );
        }
    }

    /// A body of a key: sometimes an admin key, sometimes narrowed, sometimes somebody else's.
    fn ask(&mut self) -> Value {
        let (models, rpm) = self.restrictions();
        let mut body = json!({ "name": "rung", "policy": { "models": models }, "limits": { "rpm": rpm } });
        if self.random.below(2) == 0 {
            body["class"] = json!("admin");
            body["role"] = json!(self.pick(&ROLES));
        }
        if self.random.below(3) == 0 {
            let mut people: Vec<String> = self.people.keys().cloned().collect();
            people.sort();
            body["owner"] = json!(self.pick(&people));
        }
        body
    }

    async fn step(&mut self) {
        let actors = self.actors.clone();
        let actor = self.pick(&actors);
        let keys = self.keys.clone();
        let key = self.pick(&keys);
        let (method, path, body, what) = match self.random.below(8) {
            0 | 1 => ("POST", KEYS.to_owned(), self.ask(), "create"),
            2 | 3 => {
                let mut body = self.ask();
                for name in ["class", "name"] {
                    if let Some(members) = body.as_object_mut() {
                        members.remove(name);
                    }
                }
                ("POST", format!("{KEYS}/{key}"), body, "update")
            }
            4 => ("POST", format!("{KEYS}/{key}/rotate"), json!({}), "rotate"),
            5 => {
                let act = self.pick(&["disable", "enable"]);
                ("POST", format!("{KEYS}/{key}/{act}"), json!({}), act)
            }
            6 => {
                let number = self.random.next_u64();
                let body = json!({ "email": format!("p{number}@example.org"), "role": self.pick(&ROLES) });
                ("POST", "/v1/organization/invites".to_owned(), body, "invite")
            }
            _ => {
                let body = json!({ "name": "robot", "role": self.pick(&ROLES), "create_service_account_only": true });
                ("POST", self.agents.clone(), body, "agent")
            }
        };
        let answer = self.stage.world.with(&actor.value, method, &path, &body).await;
        match answer.status {
            200 => self.done += 1,
            400 | 403 | 404 | 429 => {
                self.refused += 1;
                return;
            }
            401 => return,
            other => panic!("{what} by {actor:?} answered {other}: {}", answer.body),
        }
        match what {
            "invite" | "agent" => self.judge_role(&actor, ours(text(&answer.body["role"])), what),
            // To stop a key makes nothing stronger.
            "disable" => {
                self.disabled.insert(key);
            }
            "enable" if !self.disabled.remove(&key) => {}
            _ => self.judge_key(&actor, &answer.body, what),
        }
        self.learn(&answer.body, what);
    }

    /// Remembers what a new or changed key is good for.
    fn learn(&mut self, key: &Value, what: &str) {
        if !matches!(what, "create" | "update" | "rotate") {
            return;
        }
        let id = text(&key["id"]).to_owned();
        if !self.keys.contains(&id) {
            self.keys.push(id);
        }
        // An old text of a changed key would be judged by what it was: it leaves, its new text comes.
        let redacted = text(&key["redacted_value"]).to_owned();
        let is_text_of = |actor: &Actor| {
            let id = text(&key["id"]).trim_start_matches("key_");
            actor.value.contains(id) || redacted.ends_with(&actor.value[actor.value.len() - 4..])
        };
        let former = self.actors.iter().find(|actor| is_text_of(actor)).map(|actor| actor.value.clone());
        let staged = self.actors.len().min(ROLES.len());
        let mut place = 0;
        self.actors.retain(|actor| {
            place += 1;
            place <= staged || !is_text_of(actor)
        });
        let value = key["value"].as_str().map(str::to_owned).or(former).filter(|_| text(&key["class"]) == "admin");
        if let (Some(value), false) = (value, self.actors[..staged].iter().any(is_text_of)) {
            let models = key["policy"]["models"].as_array();
            self.actors.push(Actor {
                value,
                role: text(&key["role"]).to_owned(),
                owner: text(&key["owner"]["id"]).to_owned(),
                models: models.map(|list| list.iter().map(|model| text(model).to_owned()).collect()),
                rpm: key["limits"]["rpm"].as_u64(),
            });
        }
    }
}

#[tokio::test]
async fn p7_no_sequence_of_calls_makes_a_credential_stronger_than_its_maker() {
    let (mut done, mut refused, mut made) = (0, 0, 0);
    for seed in 1..=SEQUENCES {
        let mut ladder = Ladder::set(seed).await;
        for _ in 0..CALLS {
            ladder.step().await;
        }
        (done, refused, made) =
            (done + ladder.done, refused + ladder.refused, made + ladder.actors.len() - ROLES.len());
    }
    // The sequences must reach both sides of the wall, and credentials made on the way must act themselves.
    let all = SEQUENCES * CALLS;
    assert!(done > all / 10 && refused > all / 10 && made > 10, "done {done}, refused {refused}, made {made}");
}
