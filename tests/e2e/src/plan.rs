//! What a world shall be: engine, prices, models, upstream, and which build of the binary.

use crate::world::World;
use anyhow::Result;
use std::fmt::Write as _;
use std::path::Path;

/// Which database the server uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The embedded default.
    Sqlite,
    /// A fresh database of the run's own Postgres.
    Postgres,
}

impl Engine {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Sqlite, Self::Postgres];
}

/// A world about to be started.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) engine: Engine,
    pub(crate) prefix: String,
    pub(crate) credit: Option<String>,
    pub(crate) dialect: String,
    pub(crate) binary: String,
    pub(crate) bug: Option<String>,
    pub(crate) clock_rate: Option<u32>,
    pub(crate) clock_ahead: Option<i64>,
    pub(crate) server: String,
    pub(crate) keys: String,
    pub(crate) more: String,
    pub(crate) has_broken_upstream: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            engine: Engine::Sqlite,
            prefix: "clv_".to_owned(),
            credit: Some("10".to_owned()),
            dialect: "openai".to_owned(),
            binary: "claviger".to_owned(),
            bug: None,
            clock_rate: None,
            clock_ahead: None,
            server: String::new(),
            keys: String::new(),
            more: String::new(),
            has_broken_upstream: false,
        }
    }
}

/// Nano-units per 1,000,000 input tokens of the models `paid/…`.
pub(crate) const PAID_INPUT: u64 = 1_000_000_000;
/// Nano-units per 1,000,000 output tokens of the models `paid/…`.
pub(crate) const PAID_OUTPUT: u64 = 2_000_000_000;

/// A model of every world.
struct Model {
    id: &'static str,
    upstream: &'static str,
    line: &'static str,
    prices: &'static [(&'static str, &'static str)],
}

const fn model(id: &'static str, upstream: &'static str, prices: &'static [(&'static str, &'static str)]) -> Model {
    Model { id, upstream, line: "", prices }
}

const PAID: &[(&str, &str)] = &[("input_token", "1"), ("output_token", "2")];

const MODELS: &[Model] = &[
    Model {
        line: "aliases = [\"gpt-4\", \"gpt-3.5-turbo\"]",
        ..model(
            "meta-llama/Llama-3.1-8B-Instruct",
            "llama-3.1-8b",
            &[("input_token", "0.05"), ("output_token", "0.08")],
        )
    },
    model("u-8105f7322477/test", "tenant-test", &[("input_token", "0.10"), ("output_token", "0.20")]),
    model("glm-4.7", "glm-4.7", &[("input_token", "0.60"), ("output_token", "2.20")]),
    model("paid/echo", "echo", PAID),
    model("paid/stream", "sim-stream", PAID),
    Model { line: "endpoints = [\"embeddings\"]", ..model("paid/embed", "sim-embed", &[("input_token", "1")]) },
    Model { line: "endpoints = [\"images\"]", ..model("paid/draw", "sim-image", &[("image", "0.04")]) },
    Model {
        line: "endpoints = [\"images\"]",
        ..model("paid/draw-tokens", "sim-image", &[("input_token", "5"), ("image_output_token", "40")])
    },
    Model { line: "endpoints = [\"audio.speech\"]", ..model("paid/say", "sim-speech", &[("character", "15")]) },
    Model {
        line: "endpoints = [\"audio.transcriptions\", \"audio.translations\"]",
        ..model("paid/hear", "sim-transcribe", &[("audio_second", "0.0001")])
    },
    Model { line: "endpoints = [\"video\"]", ..model("paid/film", "sim-video", &[("video_second", "0.10")]) },
    Model { line: "endpoints = [\"rerank\"]", ..model("paid/rank", "sim-rerank", &[("search_unit", "0.002")]) },
    Model { line: "endpoints = [\"rerank\"]", ..model("paid/rank-tokens", "sim-rerank", &[("input_token", "1")]) },
    Model { line: "endpoints = [\"completions\"]", ..model("paid/text", "echo", PAID) },
    model("paid/json", "sim-json", PAID),
    Model { line: "endpoints = [\"chat.completions\"]", ..model("paid/tools", "sim-tools", PAID) },
    Model {
        line: "endpoints = [\"chat.completions\", \"responses\"]",
        ..model("paid/broken", "sim-error-midstream", PAID)
    },
    Model { line: "endpoints = [\"responses\"]", ..model("paid/gpt", "gpt", PAID) },
    Model { line: "endpoints = [\"responses\"]", ..model("paid/gpt-tools", "sim-tools", PAID) },
    Model { line: "endpoints = [\"messages\"]", ..model("paid/claude", "claude", PAID) },
    Model { line: "endpoints = [\"messages\"]", ..model("paid/claude-tools", "sim-tools", PAID) },
    Model { line: "endpoints = [\"messages\"]", ..model("paid/claude-stream", "sim-stream", PAID) },
    model("paid/request", "echo", &[("request", "0.0000001")]),
    Model { line: "free = true", ..model("free/echo", "echo", &[]) },
    Model { line: "free = true", ..model("free/stream", "sim-stream", &[]) },
    model("unpriced/echo", "echo", &[]),
];

impl Plan {
    /// On this engine.
    #[must_use]
    pub fn on(mut self, engine: Engine) -> Self {
        self.engine = engine;
        self
    }

    /// Keys begin with this text.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// The organization starts with this credit, in currency units.
    #[must_use]
    pub fn credit(mut self, credit: &str) -> Self {
        self.credit = Some(credit.to_owned());
        self
    }

    /// The organization starts without credit.
    #[must_use]
    pub fn without_credit(mut self) -> Self {
        self.credit = None;
        self
    }

    /// The upstream speaks this dialect; `simulate` takes its shape.
    #[must_use]
    pub fn dialect(mut self, dialect: &str) -> Self {
        dialect.clone_into(&mut self.dialect);
        self
    }

    /// The build with seeded bugs, with this one awake; an empty name wakes none.
    #[must_use]
    pub fn with_bug(mut self, bug: &str) -> Self {
        "claviger-bugs".clone_into(&mut self.binary);
        self.bug = Some(bug.to_owned());
        self
    }

    /// The server's wall clock is so many seconds ahead of the machine's; only the build with seeded bugs can.
    #[must_use]
    pub fn clock_ahead(mut self, seconds: i64) -> Self {
        self.clock_ahead = Some(seconds);
        self
    }

    /// The server's clock runs at this many thousandths of the true rate; only the build with seeded bugs can.
    #[must_use]
    pub fn clock_rate(mut self, thousandths: u32) -> Self {
        self.clock_rate = Some(thousandths);
        self
    }

    /// Further lines of `[server]`.
    #[must_use]
    pub fn server(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.server);
        self
    }

    /// Further lines of `[keys]`.
    #[must_use]
    pub fn keys(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.keys);
        self
    }

    /// Further tables of the configuration.
    #[must_use]
    pub fn more(mut self, tables: &str) -> Self {
        tables.clone_into(&mut self.more);
        self
    }

    /// Adds the model `paid/retried`: its first target always fails with 500, its second is the upstream.
    #[must_use]
    pub fn with_broken_upstream(mut self) -> Self {
        self.has_broken_upstream = true;
        self
    }

    /// Starts everything.
    ///
    /// # Errors
    /// When something does not start; with what it wrote.
    pub async fn start(self) -> Result<World> {
        World::start(self).await
    }

    /// The configuration file.
    pub(crate) fn configuration(
        &self,
        upstream: &str,
        broken: Option<&str>,
        provider_key: &Path,
        database: Option<&str>,
    ) -> String {
        let mut text = format!("[server]\n{}\n[keys]\nprefix = \"{}\"\n{}\n", self.server, self.prefix, self.keys);
        if let Some(database) = database {
            let _ = write!(text, "[storage]\ndatabase_url = \"{database}\"\njournal = \"database\"\n");
        }
        text.push_str(&self.more);
        let provider = |name: &str, dialect: &str, url: &str| {
            format!(
                "\n[[provider]]\nname = \"{name}\"\ndialect = \"{dialect}\"\nbase_url = \"{url}/v1\"\nkey_file = \"{}\"\n",
                provider_key.display()
            )
        };
        text.push_str(&provider("upstream", &self.dialect, upstream));
        for model in MODELS {
            let tiers = format!("[[{{ provider = \"upstream\", model = \"{}\" }}]]", model.upstream);
            text.push_str(&model_table(model.id, &tiers, model.line, model.prices));
        }
        if let Some(broken) = broken {
            text.push_str(&provider("broken", "openai", broken));
            let targets =
                "[[{ provider = \"broken\", model = \"echo\" }], [{ provider = \"upstream\", model = \"echo\" }]]";
            text.push_str(&model_table("paid/retried", targets, "", PAID));
        }
        text
    }
}

fn model_table(id: &str, tiers: &str, line: &str, prices: &[(&str, &str)]) -> String {
    let mut text =
        format!("\n[[model]]\nid = \"{id}\"\ntiers = {tiers}\ncontext = 131072\nmax_output = 16384\n{line}\n");
    for (meter, sell) in prices {
        let _ = write!(text, "[[price]]\nmodel = \"{id}\"\nmeter = \"{meter}\"\nsell = \"{sell}\"\n");
    }
    text
}
