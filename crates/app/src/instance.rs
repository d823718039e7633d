//! An opened instance: directory, store, peppers, and the management plane on top of them.
//!
//! The server and the command line open it the same way, so a pepper that does not fit ends both.

use crate::clock::MachineClock;
use crate::config::Config;
use crate::data_directory::{DataDirectory, draw};
use crate::random::SystemRandom;
use anyhow::{Context as _, bail};
use claviger_control::{AwaitRights, Control, Settings};
use claviger_domain::audit::{Actor, Attribution, AuditKey};
use claviger_domain::id::{EnvironmentId, KeyId, OrganizationId, SeatId, SecretId};
use claviger_domain::key::{MintedKey, Name, NewKey, StoredSecret};
use claviger_domain::limits;
use claviger_domain::secret::{Pepper, Secret};
use claviger_domain::tenancy::{OrganizationState, TenantScope};
use claviger_domain::time::{Clock, Monotonic, Now};
use claviger_storage::{CreateKeyOutcome, DatabaseUrl, NewOrganization, OpenError, Store};
use std::sync::Arc;
use std::time::Duration;

/// How long a server waits for a database that cannot be reached: the two may be started together.
const DATABASE_PATIENCE: Duration = Duration::from_secs(60);

/// Between two tries.
const DATABASE_PAUSE: Duration = Duration::from_millis(500);

/// How often it is said that the database is waited for.
const DATABASE_NEWS: Duration = Duration::from_secs(5);

/// A store with everything that makes its keys recognisable.
pub(crate) struct Instance {
    pub(crate) store: Store,
    pub(crate) peppers: Vec<Pepper>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Whether this opening made the first organization.
    pub(crate) is_fresh: bool,
    first: Option<OrganizationId>,
}

impl Instance {
    /// Opens the store, checks the pepper against it, and makes the first organization if there is none.
    pub(crate) async fn open(config: &Config, directory: &DataDirectory) -> anyhow::Result<Self> {
        Self::open_within(config, directory, Duration::ZERO).await
    }

    /// The same, waiting a minute for a database server that cannot be reached yet.
    pub(crate) async fn open_when_reachable(config: &Config, directory: &DataDirectory) -> anyhow::Result<Self> {
        Self::open_within(config, directory, DATABASE_PATIENCE).await
    }

    async fn open_within(config: &Config, directory: &DataDirectory, patience: Duration) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(MachineClock::new());
        let audit = AuditFile::read(directory)?;
        let seat = directory.seat(clock.now().wall, &mut SystemRandom)?;
        let store = open_store(&config.database, seat, audit.key.clone(), clock.as_ref(), patience).await?;
        let opened = Self::check(store.clone(), config, directory, &audit, clock).await;
        if opened.is_err() {
            // Who tries again, or takes another directory's files, must not find this one still in use.
            store.close().await;
        }
        opened
    }

    /// Checks the files of the directory against an open store, and makes the first organization if there is none.
    async fn check(
        store: Store,
        config: &Config,
        directory: &DataDirectory,
        audit: &AuditFile,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        audit.check(&store, directory).await?;
        let checks = store.pepper_checks().await?;
        let peppers = directory.peppers(config, &mut SystemRandom, checks.is_empty())?;
        check_peppers(&store, &peppers, &checks, config).await?;
        let mut instance = Self { store, peppers, clock, is_fresh: false, first: None };
        instance.make_first_organization(config.keys_max).await?;
        Ok(instance)
    }

    /// The management plane of this instance.
    pub(crate) fn control(&self, config: &Config, rights: Arc<dyn AwaitRights>, public_url: String) -> Control {
        let settings = Settings {
            prefixes: config.prefixes.clone(),
            peppers: self.peppers.clone(),
            currency: config.currency.clone(),
            public_url,
            leaks: claviger_control::LeakSettings::new(
                config.github_keys.clone(),
                config.canary_disables,
                config.spend_alert,
            ),
            people: config.people.clone(),
            issuers: config.issuers.clone(),
            audit: crate::audit_sinks::settings(config),
            providers: claviger_control::ProviderSettings {
                reach: config.reach.clone(),
                probe: Some(Arc::new(crate::provider_client::ProviderClient)),
            },
        };
        Control::new(self.store.clone(), rights, self.clock.clone(), Box::new(SystemRandom), settings)
    }

    /// A key of the first organization that reaches the simulator only and ends after 24 hours.
    ///
    /// Must be called before a node loads its snapshot.
    pub(crate) async fn make_test_key(&self, config: &Config) -> anyhow::Result<Secret<String>> {
        let organization = self.first.context("the first organization exists already")?;
        let now = self.clock.now();
        let pepper = self.peppers.iter().max_by_key(|pepper| pepper.version).context("there is no pepper")?;
        let id = KeyId::generate(&mut SystemRandom);
        let minted = MintedKey::mint(config.prefixes.current(), true, id, &mut SystemRandom);
        let secret = SecretId::generate(now.wall, &mut SystemRandom);
        let digest = pepper.digest(minted.text.expose().as_bytes());
        let secret = StoredSecret::new(secret, digest, pepper.version, minted.redacted, now.wall);
        let name = Name::parse("first run").map_err(|_| anyhow::anyhow!("the test key has no lawful name"))?;
        let key = NewKey {
            is_test: true,
            expires_at: Some(now.wall.plus(limits::FIRST_TEST_KEY)),
            ..NewKey::new(minted.id, name, secret)
        };
        match self.store.create_key(TenantScope(organization), key, &by_system(now)).await? {
            CreateKeyOutcome::Created { .. } => Ok(minted.text),
            _ => bail!("the test key could not be stored"),
        }
    }

    async fn make_first_organization(&mut self, keys_max: u32) -> anyhow::Result<()> {
        if !self.store.list_organizations().await?.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let id = OrganizationId::generate(now.wall, &mut SystemRandom);
        let new = NewOrganization {
            id,
            slug: "setup".to_owned(),
            name: String::new(),
            state: OrganizationState::SetUp,
            environment: EnvironmentId::generate(now.wall, &mut SystemRandom),
            keys_max,
            at: now.wall,
        };
        self.store.create_organization(new, &by_system(now)).await?;
        self.is_fresh = true;
        self.first = Some(id);
        Ok(())
    }
}

/// The audit key of this directory, or one to be kept there. A key is made once, for a database that has seen none: a
/// database whose key file is missing or another is refused, since its chains could only be continued by a stranger.
struct AuditFile {
    bytes: [u8; 32],
    key: AuditKey,
    is_found: bool,
}

impl AuditFile {
    fn read(directory: &DataDirectory) -> anyhow::Result<Self> {
        let found = directory.find_audit_key()?;
        let bytes = found.unwrap_or_else(|| draw(&mut SystemRandom));
        Ok(Self { bytes, key: AuditKey::new(bytes, draw(&mut SystemRandom)), is_found: found.is_some() })
    }

    async fn check(&self, store: &Store, directory: &DataDirectory) -> anyhow::Result<()> {
        let file = directory.audit_key_file();
        match (store.audit_key_check().await?, self.is_found) {
            (Some(known), true) if known == self.key.check() => Ok(()),
            (Some(_), true) => bail!(
                "the audit key in {} is not the one this database was written under; restore the file from its backup",
                file.display()
            ),
            (Some(_), false) => bail!(
                "the audit key {} is missing: without it the audit records of this database cannot be continued; restore it from its backup, or copy it from another node of this database",
                file.display()
            ),
            (None, _) => self.make_known(store, directory).await,
        }
    }

    /// The file first: a database that knows a key nobody has could never be opened again.
    async fn make_known(&self, store: &Store, directory: &DataDirectory) -> anyhow::Result<()> {
        if !self.is_found {
            directory.save_audit_key(&self.bytes)?;
        }
        let saved = store.save_audit_key_check(self.key.check()).await;
        if saved.is_err() && !self.is_found {
            std::fs::remove_file(directory.audit_key_file()).ok();
        }
        saved.context("another node made the audit key of this database at the same moment")
    }
}

/// Opens the database, again and again while its server cannot be reached and the patience lasts.
async fn open_store(
    database: &DatabaseUrl,
    seat: SeatId,
    audit_key: AuditKey,
    clock: &dyn Clock,
    patience: Duration,
) -> Result<Store, OpenError> {
    let begun = clock.now().monotonic;
    let mut said: Option<Monotonic> = None;
    loop {
        let error = match Store::open_as(database, seat, audit_key.clone(), clock.now()).await {
            Err(OpenError::Database(error))
                if error.is_unreachable() && matches!(database, DatabaseUrl::Postgres(_)) =>
            {
                error
            }
            opened => return opened,
        };
        let now = clock.now().monotonic;
        if now.since(begun) >= patience {
            return Err(OpenError::Database(error));
        }
        if said.is_none_or(|said| now.since(said) >= DATABASE_NEWS) {
            said = Some(now);
            tracing::warn!(%error, "waiting for the database: {error}");
        }
        tokio::time::sleep(DATABASE_PAUSE).await;
    }
}

fn by_system(now: Now) -> Attribution {
    Attribution::local(Actor::System, "", now.wall)
}

/// A pepper that the database knows must be in the file, unchanged; a new one is made known.
async fn check_peppers(
    store: &Store,
    peppers: &[Pepper],
    checks: &[(u16, [u8; 8])],
    config: &Config,
) -> anyhow::Result<()> {
    let file = config.pepper_file.display();
    for (version, check) in checks {
        match peppers.iter().find(|pepper| pepper.version == *version) {
            None => bail!(
                "{file} lacks pepper version {version}, which keys of this database were made with; restore the file from its backup"
            ),
            Some(pepper) if pepper.check() != *check => {
                bail!(
                    "pepper version {version} in {file} is not the one this database was made with; restore the file from its backup"
                )
            }
            Some(_) => {}
        }
    }
    for pepper in peppers.iter().filter(|pepper| !checks.iter().any(|(version, _)| *version == pepper.version)) {
        store.save_pepper_check(pepper.version, pepper.check()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
