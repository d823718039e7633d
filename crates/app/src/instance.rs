//! An opened instance: directory, store, peppers, and the management plane on top of them.
//!
//! The server and the command line open it the same way, so a pepper that does not fit ends both.

use crate::clock::MachineClock;
use crate::config::Config;
use crate::data_directory::DataDirectory;
use crate::random::SystemRandom;
use anyhow::{Context as _, bail};
use claviger_control::{AwaitRights, Control, Settings};
use claviger_domain::audit::{Actor, Attribution};
use claviger_domain::id::{EnvironmentId, KeyId, OrganizationId, SecretId};
use claviger_domain::key::{Class, MintedKey, Name, NewKey, StoredSecret};
use claviger_domain::limits;
use claviger_domain::secret::{Pepper, Secret};
use claviger_domain::tenancy::{OrganizationState, TenantScope};
use claviger_domain::time::{Clock, Now};
use claviger_storage::{CreateKeyOutcome, NewOrganization, Store};
use std::sync::Arc;

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
        let clock: Arc<dyn Clock> = Arc::new(MachineClock::new());
        let audit_key = directory.audit_key(&config.database, &mut SystemRandom)?;
        let store = Store::open(&config.database, audit_key, clock.now()).await?;
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
        let key = NewKey {
            id: minted.id,
            environment: None,
            class: Class::Inference,
            is_test: true,
            name: Name::parse("first run").map_err(|_| anyhow::anyhow!("the test key has no lawful name"))?,
            source_tag: None,
            role: None,
            expires_at: Some(now.wall.plus(limits::FIRST_TEST_KEY)),
            secret: StoredSecret {
                id: SecretId::generate(now.wall, &mut SystemRandom),
                digest: pepper.digest(minted.text.expose().as_bytes()),
                pepper_version: pepper.version,
                redacted: minted.redacted,
                created_at: now.wall,
            },
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

fn by_system(now: Now) -> Attribution {
    Attribution { actor: Actor::System, address: String::new(), request_id: String::new(), at: now.wall }
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
