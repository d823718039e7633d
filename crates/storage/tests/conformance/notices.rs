//! Notices and the outbox: told once to whom it concerns, claimed by one round at a time, tried again.

use crate::on_both_engines;
use crate::people::person;
use crate::world::{World, by};
use claviger_domain::id::UserId;
use claviger_domain::limits;
use claviger_domain::notice::{MailKind, Notice, NoticeKind};
use claviger_domain::person::EmailAddress;
use claviger_domain::time::Timestamp;
use claviger_storage::{Delivery, Engine, NewMail};
use claviger_testkit::clock::START;
use std::collections::HashSet;
use std::time::Duration;

on_both_engines! {
    a_notice_reaches_owners_and_whom_it_concerns_once,
    two_rounds_at_once_never_share_a_mail,
    a_mail_is_tried_again_after_its_claim_and_its_pause,
}

fn mail(number: usize) -> NewMail {
    NewMail {
        id: format!("mail {number}"),
        kind: MailKind::Reset,
        recipient: EmailAddress::parse("mo@acme.io").unwrap(),
        user: Some(UserId::from_u128(1)),
        organization: None,
        object: String::new(),
        detail: "{}".to_owned(),
        at: START,
    }
}

async fn a_notice_reaches_owners_and_whom_it_concerns_once(engine: Engine) {
    let world = World::new(engine).await;
    let store = world.store();
    for (number, role) in [(1_u128, "owner"), (2, "owner"), (3, "admin"), (4, "developer")] {
        let new = person(number, &format!("p{number}@acme.io"));
        let id = new.id;
        store.create_user(new, &by()).await.unwrap();
        let sql = format!(
            "INSERT INTO membership (org_id, user_id, role, created_at) VALUES ('{}', '{id}', '{role}', 1)",
            world.scope.0
        );
        world.tamper(&sql).unwrap();
    }
    world.tamper("UPDATE users SET state = 'disabled' WHERE email = 'p2@acme.io'").unwrap();
    let notice = Notice {
        kind: NoticeKind::KeyExposed,
        organization: world.scope.0,
        also: Some(UserId::from_u128(4)),
        object: "key_000000000000".to_owned(),
        detail: "{\"name\":\"ci\"}".to_owned(),
        at: START,
    };
    store.save_notice(notice.clone()).await.unwrap();
    store.save_notice(notice.clone()).await.unwrap();
    assert_eq!(store.mail_backlog().await.unwrap(), 2);
    let claimed = store.claim_mails(START).await.unwrap();
    let told: HashSet<&str> = claimed.iter().map(|claimed| claimed.mail.recipient.as_str()).collect();
    assert_eq!(told, HashSet::from(["p1@acme.io", "p4@acme.io"]));
    assert!(claimed.iter().all(|claimed| claimed.mail.kind == MailKind::Notice
        && claimed.mail.object == "key.exposed"
        && claimed.mail.organization == Some(world.scope.0)
        && claimed.mail.detail == notice.detail));
    store.save_notice(Notice { at: Timestamp(START.0 + 1), ..notice }).await.unwrap();
    assert_eq!(store.mail_backlog().await.unwrap(), 4, "another time is another fact");
}

async fn two_rounds_at_once_never_share_a_mail(engine: Engine) {
    let world = World::new(engine).await;
    for number in 0..100 {
        world.store().post_mail(mail(number)).await.unwrap();
        world.store().post_mail(mail(number)).await.unwrap();
    }
    let mut seen = HashSet::new();
    // Rounds that meet may come away with less than they could have; what they leave is the next round's.
    for _ in 0..4 {
        let rounds: Vec<_> = (0..6)
            .map(|_| {
                let store = world.store().clone();
                tokio::spawn(async move { store.claim_mails(START).await.unwrap() })
            })
            .collect();
        for round in rounds {
            for claimed in round.await.unwrap() {
                assert!(seen.insert(claimed.mail.id.clone()), "{} twice", claimed.mail.id);
            }
        }
    }
    assert_eq!(seen.len(), 100);
}

async fn a_mail_is_tried_again_after_its_claim_and_its_pause(engine: Engine) {
    let world = World::new(engine).await;
    let store = world.store();
    store.post_mail(mail(1)).await.unwrap();
    let first = store.claim_mails(START).await.unwrap();
    assert_eq!((first.len(), first[0].tries), (1, 1));
    assert_eq!(first[0].mail, mail(1));
    assert!(store.claim_mails(START).await.unwrap().is_empty(), "somebody has it");
    let later = START.plus(limits::MAIL_CLAIM);
    let second = store.claim_mails(later).await.unwrap();
    assert_eq!(second[0].tries, 2, "the first round died");
    let until = later.plus(Duration::from_secs(60));
    let put_off = Delivery::PutOff { until, why: "the server is busy".to_owned() };
    store.finish_mail("mail 1", put_off, later).await.unwrap();
    assert!(store.claim_mails(later.plus(Duration::from_secs(59))).await.unwrap().is_empty());
    assert_eq!(store.claim_mails(until).await.unwrap().len(), 1);
    store.finish_mail("mail 1", Delivery::Delivered, until).await.unwrap();
    store.post_mail(mail(2)).await.unwrap();
    store.finish_mail("mail 2", Delivery::GivenUp { why: "no such address".to_owned() }, until).await.unwrap();
    let much_later = until.plus(Duration::from_secs(86_400));
    assert!(store.claim_mails(much_later).await.unwrap().is_empty());
    assert_eq!(store.mail_backlog().await.unwrap(), 0);
    assert_eq!(store.forget_mails(much_later).await.unwrap(), 2);
}
