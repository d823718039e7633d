//! Configuration as operators write it: what is understood, and how what is not is told.

use super::{Flags, Variables, load, load_for_serving};
use claviger_domain::catalog::Pricing;
use claviger_domain::meter::{Meter, Meters};
use claviger_domain::money::Price;
use claviger_storage::DatabaseUrl;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use tempfile::TempDir;

const PROVIDER: &str = "[[provider]]\nname = \"up\"\ndialect = \"vllm\"\nbase_url = \"http://127.0.0.1:9000/v1/\"\n";

struct Case {
    folder: TempDir,
    flags: Flags,
    variables: Vec<(String, String)>,
}

impl Case {
    fn new(toml: &str) -> Self {
        let folder = TempDir::new().expect("a temporary directory");
        let file = folder.path().join("claviger.toml");
        fs::write(&file, toml).expect("written");
        Self { folder, flags: Flags { config: Some(file), ..Flags::default() }, variables: Vec::new() }
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn file(self, name: &str, text: &str, mode: u32) -> Self {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode set");
        self
    }

    fn serve(&self) -> Result<super::ServeConfig, String> {
        load_for_serving(&self.flags, &Variables::new(self.variables.clone())).map_err(|error| error.to_string())
    }

    fn error(&self) -> String {
        let error = self.serve().err().unwrap_or_else(|| "it was accepted".to_owned());
        error.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

#[test]
fn an_unknown_key_is_refused_with_file_line_and_the_nearest_name() {
    assert_eq!(
        Case::new("[server]\nlisten = \"127.0.0.1:1\"\nlisen = \"x\"\n").error(),
        "claviger.toml:3: unknown key `lisen` (did you mean `listen`?)"
    );
    assert_eq!(
        Case::new(&format!("{PROVIDER}ky_file = \"k\"\n")).error(),
        "claviger.toml:5: unknown key `ky_file` (did you mean `key_file`?)"
    );
    assert!(Case::new("[server\n").error().starts_with("claviger.toml:1: "));
}

#[test]
fn a_flag_beats_a_variable_beats_the_file_beats_the_default() {
    let toml = "[server]\nlisten = \"127.0.0.1:1\"\nprivate_listen = \"127.0.0.1:2\"\ndrain = \"5s\"\n";
    let mut case =
        Case::new(toml).variable("CLAVIGER_SERVER_LISTEN", "127.0.0.1:3").variable("CLAVIGER_SERVER_DRAIN", "6s");
    case.flags.listen = Some("127.0.0.1:4".to_owned());
    let serve = case.serve().expect("it is good");
    assert_eq!((serve.listen.port(), serve.private_listen.port(), serve.drain.as_secs()), (4, 2, 6));
    assert_eq!(serve.out_of_credit_status, 429);
}

#[test]
fn a_variable_that_names_no_setting_of_a_topic_is_refused() {
    let case = Case::new("").variable("CLAVIGER_SERVER_LISEN", "x");
    assert_eq!(
        case.error(),
        "variable CLAVIGER_SERVER_LISEN: no such setting (did you mean `CLAVIGER_SERVER_LISTEN`?)"
    );
    let case = Case::new("").variable("CLAVIGER_SERVER_OUT_OF_CREDIT_STATUS", "many");
    assert_eq!(case.error(), "variable CLAVIGER_SERVER_OUT_OF_CREDIT_STATUS: `many` is not a whole number");
    assert!(Case::new("").variable("CLAVIGER_TEST_LONG", "1").serve().is_ok());
}

#[test]
fn no_password_stands_in_a_url() {
    for url in ["postgres://li:secret@db/claviger", "postgres://db/claviger?password=secret", "postgres://li:@db/c"] {
        let case = Case::new(&format!("[storage]\ndatabase_url = \"{url}\"\n"));
        assert!(case.error().starts_with("storage.database_url: holds a password"), "{url}: {}", case.error());
    }
    let toml = "[storage]\ndatabase_url = \"postgres://li@db/claviger\"\ndatabase_password_file = \"pw\"\n";
    let case = Case::new(toml).file("pw", "p/w@1\n", 0o600);
    let config = load(&case.flags, &Variables::default()).expect("it is good");
    assert_eq!(config.database, DatabaseUrl::Postgres("postgres://li:p%2Fw%401@db/claviger".to_owned()));
    let case = Case::new(toml).file("pw", "p\n", 0o644);
    assert!(case.error().contains("has mode 0644: run `chmod 600"), "{}", case.error());
}

#[test]
fn a_provider_key_lies_in_a_file_of_its_owner() {
    let toml = format!("{PROVIDER}key_file = \"key\"\n");
    assert!(Case::new(&toml).file("key", "sk-1\n", 0o640).error().contains("chmod 600"));
    assert!(Case::new(&toml).error().contains("cannot be read"));
    assert!(Case::new(&toml).file("key", "sk-1\n", 0o600).serve().is_ok());
}

#[test]
fn a_model_is_priced_free_or_unpriced_and_never_two_of_them() {
    let model = |more: &str| format!("{PROVIDER}[[model]]\nid = \"a/b\"\n{more}");
    let price = "[[price]]\nmodel = \"a/b\"\nmeter = \"input_token\"\nsell = \"0.15\"\n";
    let pricing = |toml: &str| {
        let catalog = Case::new(toml).serve().expect("it is good").catalog;
        catalog.find_model("a/b").expect("it is offered").pricing.clone()
    };
    assert!(matches!(pricing(&model("")), Pricing::Unpriced));
    assert!(matches!(pricing(&model("free = true\n")), Pricing::Free));
    let Pricing::Priced(sheet) = pricing(&model(price)) else { panic!("it is priced") };
    assert_eq!(sheet.lines(&Meters::NONE.with(Meter::InputToken, 1))[0].price, Price(150_000_000));
    assert!(Case::new(&model(&format!("free = true\n{price}"))).error().contains("marked free and priced"));
    let zero = Case::new(&model(&price.replace("0.15", "0"))).error();
    assert!(zero.contains("every price is zero"), "{zero}");
    let unknown = Case::new(&model(&price.replace("input_token", "input_tokens"))).error();
    assert!(unknown.contains("unknown meter `input_tokens` (did you mean `input_token`?)"), "{unknown}");
}

#[test]
fn a_price_that_would_give_an_endpoint_away_is_refused() {
    let model = |endpoints: &str, meter: &str| {
        let price = format!("[[price]]\nmodel = \"a/b\"\nmeter = \"{meter}\"\nsell = \"15\"\n");
        Case::new(&format!("{PROVIDER}[[model]]\nid = \"a/b\"\nendpoints = [{endpoints}]\n{price}"))
    };
    assert!(model("\"audio.speech\"", "character").serve().is_ok());
    let given_away = model("\"audio.speech\", \"chat.completions\"", "character").error();
    let expected = "its prices do not measure the endpoint `chat.completions`: price `input_token` or `output_token`, or `request`";
    assert!(given_away.contains(expected), "{given_away}");
    assert!(model("\"embeddings\"", "output_token").error().contains("price `input_token`, or `request`"));
    assert!(model("\"audio.speech\", \"chat.completions\"", "request").serve().is_ok());
}

#[test]
fn a_model_without_tiers_goes_to_the_only_provider() {
    let toml = format!("{PROVIDER}[[model]]\nid = \"a/b\"\naliases = [\"b\"]\n");
    let serve = Case::new(&toml).serve().expect("it is good");
    let model = serve.catalog.find_model("b").expect("the alias is offered");
    let target = &model.tiers[0][0];
    assert_eq!((target.provider.base_url.as_str(), target.upstream_model.as_str()), ("http://127.0.0.1:9000", "a/b"));
    let second = PROVIDER.replace("\"up\"", "\"down\"");
    assert!(Case::new(&format!("{toml}{second}")).error().contains("exactly one provider"));
    let lost = format!("{PROVIDER}[[model]]\nid = \"a/b\"\ntiers = [[{{ provider = \"uo\" }}]]\n");
    let error = Case::new(&lost).error();
    assert_eq!(error, "claviger.toml:6: model `a/b`: provider `uo` does not exist (did you mean `up`?)");
}

#[test]
fn a_route_lowers_the_time_limits_of_its_providers_and_never_raises_them() {
    let toml = format!(
        "{PROVIDER}first_byte = \"10s\"\n[[model]]\nid = \"a/b\"\naffinity = \"key\"\nfirst_byte = \"60s\"\nidle = \"2s\"\n"
    );
    let serve = Case::new(&toml).serve().expect("it is good");
    let model = serve.catalog.find_model("a/b").expect("it is offered");
    let timeouts = model.tiers[0][0].timeouts;
    assert_eq!((timeouts.first_byte.as_secs(), timeouts.idle.as_secs(), timeouts.total.as_secs()), (10, 2, 3600));
    assert!(model.has_affinity);
    let error = Case::new(&toml.replace("\"key\"", "\"user\"")).error();
    assert!(error.contains("affinity = `user` is neither `key` nor empty"), "{error}");
}

#[test]
fn a_price_file_says_the_same_in_toml_and_json() {
    let toml = r#"
format = "claviger-prices/1"
currency = "USD"
model = [
  { id = "acme/long", tiers = "whole", price = { input_token = "1.25", output_token = "10" }, tier = [ { input_over = 200000, price = { input_token = "2.50", output_token = "15" } } ] },
  { id = "acme/gift", free = true },
  { id = "acme/fee", row = [ { meter = "request", price = "6", per = 60 } ] },
]
"#;
    let json = r#"{"format":"claviger-prices/1","currency":"USD","model":[
      {"id":"acme/long","tiers":"whole","price":{"input_token":"1.25","output_token":"10"},"tier":[{"input_over":200000,"price":{"input_token":"2.50","output_token":"15"}}]},
      {"id":"acme/gift","free":true},
      {"id":"acme/fee","row":[{"meter":"request","price":"6","per":60}]}]}"#;
    let sheets = |name: &str, text: &str| {
        let case = Case::new(&format!("[prices]\nfiles = [\"{name}\"]\n")).file(name, text, 0o644);
        case.serve().expect("it is good").sheets
    };
    assert_eq!(sheets("p.toml", toml), sheets("p.json", json));
    assert_eq!(sheets("p.toml", toml).len(), 2);
}

#[test]
fn a_bad_price_file_is_refused_whole_and_names_its_line() {
    let head = "format = \"claviger-prices/1\"\ncurrency = \"USD\"\n";
    let error = |text: &str| {
        let case = Case::new("[prices]\nfiles = [\"p.toml\"]\n").file("p.toml", text, 0o644);
        case.error()
    };
    let model = |inner: &str| format!("{head}[[model]]\nid = \"a/b\"\n{inner}\n");
    assert_eq!(error(&model("prise = 1")), "p.toml:5: unknown key `prise` (did you mean `price`?)");
    for (inner, expected) in [
        ("price = { input_token = \"-1\" }", "is not a price"),
        ("price = { input_token = \"1e3\" }", "is not a price"),
        ("price = { input_token = \"0\" }", "every price is zero"),
        ("price = { input_tokn = \"1\" }", "unknown meter `input_tokn`"),
        ("price = { input_token = \"1\", character = \"1\" }", "these form two"),
        ("free = true\nprice = { input_token = \"1\" }", "marked free and priced"),
        (
            "price = { input_token = \"1\" }\ntier = [ { input_over = 5, price = { input_token = \"2\" } } ]",
            "`tiers` does not say",
        ),
    ] {
        let error = error(&model(inner));
        assert!(error.starts_with("p.toml:4: model `a/b`: ") && error.contains(expected), "{inner}: {error}");
    }
    assert!(error(&model("price = { input_token = 1 }")).starts_with("p.toml:5: "), "numbers are no prices");
    assert!(error("format = \"claviger-prices/2\"\ncurrency = \"USD\"\n").contains("only `claviger-prices/1` is read"));
    assert!(error("format = \"claviger-prices/1\"\ncurrency = \"EUR\"\n").contains("counts in USD"));
    let twice = format!(
        "{}[[model]]\nid = \"a/b\"\nprice = {{ input_token = \"1\" }}\n",
        model("price = { input_token = \"1\" }")
    );
    assert!(error(&twice).contains("is priced twice"));
}

#[test]
fn the_simulator_is_always_there_and_never_costs() {
    let serve = Case::new("").serve().expect("nothing is a good configuration");
    let echo = serve.catalog.find_model("sim-echo").expect("it is offered");
    assert!(echo.is_simulated && matches!(echo.pricing, Pricing::Free));
    assert_eq!(serve.config.data, Path::new("./claviger-data"));
}

#[test]
fn nonsense_is_refused_by_name() {
    for (toml, expected) in [
        ("[server]\nlisten = \"8080\"\n", "server.listen: `8080` is not an address"),
        ("[server]\ndrain = \"30\"\n", "server.drain: `30` is not a duration"),
        ("[server]\nplain_http = \"alow\"\n", "(did you mean `allow`?)"),
        ("[server]\nout_of_credit_status = 403\n", "is 429 or 402"),
        ("[routes]\nattempts = 6\n", "routes.attempts: lies between 1 and 5"),
        ("[routes]\nkeepalive = \"0s\"\n", "routes.keepalive: `0s` is not a duration"),
        ("[storage]\nvalidity_lease = \"2m\"\n", "lies between 1s and 60s"),
        ("[storage]\ndatabase_url = \"mysql://x\"\n", "begins with `postgres://`"),
        ("[keys]\nprefix = \"key_\"\n", "begins ids, not keys"),
        ("[prices]\ncurrency = \"usd\"\n", "ISO 4217"),
    ] {
        let error = Case::new(toml).error();
        assert!(error.contains(expected), "{toml}: {error}");
    }
}

#[test]
fn the_examples_of_the_documentation_are_good() {
    let page =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md")).expect("the page");
    let blocks: Vec<&str> = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let [issuer, provider, price, file] = blocks.as_slice() else { panic!("the page has four examples") };
    let case = Case::new(issuer).file("oidc.secret", "s3cret\n", 0o600);
    assert!(case.serve().is_ok(), "{}", case.error());
    let case = Case::new(&format!("{provider}{price}")).file("vllm.key", "sk-1\n", 0o600);
    assert!(case.serve().is_ok(), "{}", case.error());
    let case = Case::new("[prices]\nfiles = [\"p.toml\"]\n").file("p.toml", file, 0o644);
    assert!(case.serve().is_ok(), "{}", case.error());
}

#[test]
fn proxies_are_networks_and_limits_of_nothing_are_none() {
    let config = Case::new(
        "[server]\ntrusted_proxies = [\"10.0.0.1/8\", \"::1\"]\nforwarded = \"forwarded\"\n[limits]\ntpm = 0\n",
    )
    .variable("CLAVIGER_LIMITS_RPM", "600")
    .serve()
    .unwrap_or_else(|error| panic!("{error}"));
    let proxies: Vec<String> = config.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(proxies, ["10.0.0.0/8", "::1"]);
    assert_eq!(config.forwarded.name(), "forwarded");
    assert_eq!((config.key_limits.rpm, config.key_limits.tpm, config.self_service_rpm), (Some(600), None, 600));
    assert_eq!(
        Case::new("[server]\ntrusted_proxies = [\"proxy.internal\"]\n").error(),
        "server.trusted_proxies: `proxy.internal` is not an IP address or network such as 203.0.113.7, 10.0.0.0/8 or 2001:db8::/32"
    );
    assert_eq!(
        Case::new("[server]\nforwarded = \"x-forwarded-fro\"\n").error(),
        "server.forwarded: `x-forwarded-fro` is none of x-forwarded-for, forwarded (did you mean `x-forwarded-for`?)"
    );
}

#[test]
fn an_issuer_of_tokens_is_read_and_what_would_be_unsafe_is_refused() {
    let base = "[[oidc]]\nname = \"acme\"\nissuer = \"https://id.acme.io\"\n";
    let good = format!(
        "{base}client_id = \"c\"\nclient_secret_file = \"s\"\nrole_claim = \"groups\"\nroles = {{ ops = \"admin\" }}\nfor = [\"people\", \"agents\"]\n"
    );
    let issuers = Case::new(&good).file("s", "secret\n", 0o600).serve().expect("it is good").config.issuers;
    let issuer = &issuers.all[0];
    assert!(issuer.is_for_people && issuer.is_for_agents && issuers.ask.is_some());
    assert_eq!(issuer.sign_on.button, "Continue with acme");
    assert_eq!(issuer.sign_on.roles["ops"].name(), "admin");
    for (toml, expected) in [
        (base.to_owned(), "oidc.client_id: is missing: people sign in by `acme`"),
        (base.replace("https", "http"), "oidc.issuer: `http://id.acme.io` is not an https:// URL"),
        (base.replace("acme\"", "Acme\""), "oidc.name: `Acme` is not 1 to 40 of a-z, 0-9 and -"),
        (format!("{base}for = [\"peple\"]\n"), "oidc.for: `peple` is none of people, agents (did you mean `people`?)"),
        (format!("{base}scopes = [\"email\"]\n"), "oidc.scopes: lacks `openid`, without which there is no sign-on"),
        (format!("{base}for = []\n{base}for = []\n"), "oidc.name: `acme` is there twice"),
        (format!("{base}role = \"boss\"\n"), "oidc.role: `boss` is none of owner, admin, developer, billing, viewer"),
    ] {
        assert_eq!(Case::new(&toml).error(), expected, "{toml}");
    }
    let case = Case::new(&good).file("s", "secret\n", 0o644);
    assert!(case.error().contains("holds a secret but has mode 0644"), "{}", case.error());
}
