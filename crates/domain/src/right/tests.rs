//! The matrix of `keys.md` §8, written out once more as it is printed there.

use super::*;

/// ● all, ○ own, ᵏ by `creators`, – nothing; columns owner, admin, developer, billing, viewer.
const MATRIX: &str = "
keys.read                                                        | ● | ●  | ●  | ● | ●
keys.create keys.update keys.rotate keys.revoke                  | ● | ●ᵏ | ○ᵏ | – | –
keys.verify keys.lookup keys.import                              | ● | ●  | –  | – | –
admin_keys.manage                                                | ● | ●  | –  | – | –
agents.read environments.read registries.read models.read        | ● | ●  | ●  | ● | ●
members.read credits.read                                        | ● | ●  | ●  | ● | ●
agents.manage environments.manage registries.manage              | ● | ●  | –  | – | –
limits.manage notifications.manage                               | ● | ●  | –  | – | –
members.manage                                                   | ● | ●  | –  | – | –
budgets.manage                                                   | ● | ●  | –  | ● | –
usage.read                                                       | ● | ●  | ○  | ● | ●
requests.read                                                    | ● | ●  | ○  | – | ●
bodies.read                                                      | ● | ●  | ○  | – | –
wallet.fund billing.manage                                       | ● | –  | –  | ● | –
audit.read audit.export                                          | ● | ●  | –  | – | –
organization.update                                              | ● | ●  | –  | – | –
policy.manage organization.close                                 | ● | –  | –  | – | –
playground.use                                                   | ● | ●  | ●  | – | –
operator                                                         | – | –  | –  | – | –
";

fn expected(cell: &str, creators: Creators, role: Role) -> Extent {
    let is_creator = match creators {
        Creators::Owners => role == Role::Owner,
        Creators::Admins => matches!(role, Role::Owner | Role::Admin),
        Creators::Developers => matches!(role, Role::Owner | Role::Admin | Role::Developer),
    };
    match cell {
        "●" => Extent::All,
        "○" => Extent::Own,
        "●ᵏ" if is_creator => Extent::All,
        "○ᵏ" if is_creator => Extent::Own,
        "●ᵏ" | "○ᵏ" | "–" => Extent::None,
        other => panic!("{other} is no cell"),
    }
}

#[test]
fn the_matrix_is_the_printed_one() {
    let mut seen = Vec::new();
    for line in MATRIX.lines().filter(|line| !line.is_empty()) {
        let mut cells = line.split('|').map(str::trim);
        let names = cells.next().unwrap();
        let cells: Vec<&str> = cells.collect();
        for name in names.split_whitespace() {
            let permission = Permission::from_name(name).unwrap();
            seen.push(permission);
            for creators in Creators::ALL {
                for (role, cell) in Role::ALL.iter().zip(&cells) {
                    let found = role.extent(permission, *creators);
                    assert_eq!(found, expected(cell, *creators, *role), "{name} {} {}", role.name(), creators.name());
                }
            }
        }
    }
    seen.sort();
    assert_eq!(seen, Permission::ALL, "every permission is printed once");
}

#[test]
fn roles_are_no_ladder_but_owners_stand_above_all() {
    for creators in Creators::ALL {
        for role in Role::ALL {
            assert!(role.is_at_most(Role::Owner, *creators));
            assert!(role.is_at_most(*role, *creators));
        }
        assert!(!Role::Billing.is_at_most(Role::Admin, *creators));
        assert!(!Role::Admin.is_at_most(Role::Billing, *creators));
        assert!(Role::Viewer.is_at_most(Role::Admin, *creators));
    }
}

#[test]
fn an_admin_key_has_the_lesser_of_its_role_and_its_owners() {
    let creators = Creators::Developers;
    let key = |role, owner| Standing::AdminKey { role, owner };
    let demoted = key(Role::Owner, Bound::Role(Role::Developer));
    assert_eq!(demoted.extent(Permission::KeysCreate, creators), Extent::Own);
    assert_eq!(demoted.extent(Permission::PolicyManage, creators), Extent::None);
    let crossed = key(Role::Billing, Bound::Role(Role::Admin));
    assert_eq!(crossed.extent(Permission::WalletFund, creators), Extent::None);
    assert_eq!(crossed.extent(Permission::BudgetsManage, creators), Extent::All);
    for permission in Permission::ALL {
        assert_eq!(key(Role::Owner, Bound::Gone).extent(*permission, creators), Extent::None);
    }
    assert!(crossed.is_at_most(&Standing::Member(Role::Admin), creators));
    assert!(crossed.is_at_most(&Standing::Member(Role::Billing), creators));
}

#[test]
fn an_inference_key_reads_and_no_more() {
    let key = Standing::InferenceKey(INFERENCE_KEY_PERMISSIONS.to_vec());
    let all: Vec<&str> = Permission::ALL
        .iter()
        .filter(|one| key.extent(**one, Creators::Developers) != Extent::None)
        .map(|one| one.name())
        .collect();
    assert_eq!(all, ["agents.read", "environments.read", "registries.read", "models.read", "credits.read"]);
}
