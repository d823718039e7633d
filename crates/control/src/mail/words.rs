//! What mails say, in English and Chinese: short, kind, and with the next step.
//!
//! Values come from people; they stand in plain text and in one line each, so nothing in them can become more.

use claviger_domain::notice::NoticeKind;
use claviger_domain::person::Locale;
use serde_json::Value;

/// The words of one language.
pub(super) struct Words(Locale);

impl Words {
    pub(super) const fn of(locale: Locale) -> Self {
        Self(locale)
    }

    pub(super) fn invite(&self, organization: &str, role: &str, link: &str) -> (String, String) {
        let organization = one_line(organization);
        match self.0 {
            Locale::En => (
                format!("Join {organization} on Claviger"),
                format!(
                    "Hello,\n\nyou are invited to join {organization} as {role}.\n\nAccept here, once, within the next days:\n{link}\n\nIf you did not expect this, you can ignore it.\n"
                ),
            ),
            Locale::Zh => (
                format!("邀请您加入 {organization}"),
                format!(
                    "您好，\n\n您被邀请以 {role} 身份加入 {organization}。\n\n请在几天内打开以下链接接受邀请（只能使用一次）：\n{link}\n\n如果您不了解此事，请忽略本邮件。\n"
                ),
            ),
        }
    }

    pub(super) fn reset(&self, link: &str) -> (String, String) {
        match self.0 {
            Locale::En => (
                "Choose a new password".to_owned(),
                format!(
                    "Hello,\n\nchoose a new password here, once, within the hour:\n{link}\n\nIf it was not you who asked, ignore this; nothing has changed.\n"
                ),
            ),
            Locale::Zh => (
                "设置新密码".to_owned(),
                format!(
                    "您好，\n\n请在一小时内打开以下链接设置新密码（只能使用一次）：\n{link}\n\n如果不是您本人操作，请忽略本邮件，您的账户没有任何变化。\n"
                ),
            ),
        }
    }

    pub(super) fn verify(&self, link: &str) -> (String, String) {
        match self.0 {
            Locale::En => (
                "Confirm your e-mail address".to_owned(),
                format!(
                    "Hello,\n\nconfirm that this address is yours:\n{link}\n\nIf you did not sign up, ignore this.\n"
                ),
            ),
            Locale::Zh => (
                "请确认您的邮箱地址".to_owned(),
                format!("您好，\n\n请打开以下链接确认此邮箱属于您：\n{link}\n\n如果您没有注册，请忽略本邮件。\n"),
            ),
        }
    }

    pub(super) fn already_known(&self, console: &str) -> (String, String) {
        match self.0 {
            Locale::En => (
                "You have an account already".to_owned(),
                format!(
                    "Hello,\n\nsomebody signed up with this address, which has an account already. If it was you, sign in, or ask for a new password there:\n{console}/sign-in\n\nIf it was not, ignore this; nothing has changed.\n"
                ),
            ),
            Locale::Zh => (
                "您已有账户".to_owned(),
                format!(
                    "您好，\n\n有人使用此邮箱注册，但该邮箱已有账户。如果是您本人，请登录或在登录页重置密码：\n{console}/sign-in\n\n如果不是，请忽略本邮件，您的账户没有任何变化。\n"
                ),
            ),
        }
    }

    /// A notice: one sentence of what happened, then what is known of it.
    pub(super) fn notice(&self, kind: &str, organization: &str, detail: &Value) -> (String, String) {
        let organization = one_line(organization);
        let sentence = NoticeKind::from_name(kind).map_or(kind, |kind| self.happened(kind));
        let mut facts = String::new();
        for (name, value) in detail.as_object().into_iter().flatten() {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            facts.push_str(&format!("  {}: {}\n", one_line(name), one_line(&value)));
        }
        match self.0 {
            Locale::En => (
                format!("{organization}: {sentence}"),
                format!(
                    "Hello,\n\nin {organization}: {sentence}.\n\n{facts}\nYou are told because you own the organization or the key.\n"
                ),
            ),
            Locale::Zh => (
                format!("{organization}：{sentence}"),
                format!(
                    "您好，\n\n{organization}：{sentence}。\n\n{facts}\n您收到此邮件是因为您是该组织或该密钥的所有者。\n"
                ),
            ),
        }
    }

    const fn happened(&self, kind: NoticeKind) -> &'static str {
        let [en, zh] = match kind {
            NoticeKind::KeyExpiring => ["a key ends soon", "一个密钥即将到期"],
            NoticeKind::SecretEnding => ["a secret that is still used ends soon", "一个仍在使用的密钥版本即将失效"],
            NoticeKind::NewCaller => ["a key was used from a new place", "一个密钥在新的网络中被使用"],
            NoticeKind::KeyExposed => ["a key was found where it does not belong", "一个密钥已泄露"],
            NoticeKind::KeySelfRevoked => ["a key was ended by whoever held it", "一个密钥被其持有者吊销"],
            NoticeKind::EndedKeyUsed => ["a key that has ended was used", "有人使用了已失效的密钥"],
            NoticeKind::CanaryHit => ["a canary key was used", "诱饵密钥被使用"],
            NoticeKind::SpendSpike => ["a key spends far more than it did", "一个密钥的消费异常增长"],
            NoticeKind::MemberJoined => ["a member joined", "一位成员已加入"],
            NoticeKind::MemberRemoved => {
                ["a member left; keys they have seen may need rotation", "一位成员已离开，其见过的密钥可能需要轮换"]
            }
        };
        match self.0 {
            Locale::En => en,
            Locale::Zh => zh,
        }
    }
}

/// A person's text without anything that ends a line.
fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_people_wrote_stays_in_its_line() {
        let (subject, text) = Words::of(Locale::En).invite("Acme\r\nBcc: x@y.z", "developer", "http://x/invite#t");
        assert_eq!(subject, "Join Acme  Bcc: x@y.z on Claviger");
        assert!(text.contains("http://x/invite#t\n") && !text.contains("\r"));
    }

    #[test]
    fn every_notice_has_words_in_both_languages() {
        for kind in NoticeKind::ALL {
            let detail = json!({ "name": "ci", "count": 3 });
            let (en, text) = Words::of(Locale::En).notice(kind.name(), "Acme", &detail);
            let (zh, _) = Words::of(Locale::Zh).notice(kind.name(), "Acme", &detail);
            assert!(
                en.starts_with("Acme: ") && en != zh && text.contains("  name: ci\n  count: 3\n")
                    || text.contains("count: 3\n  name: ci")
            );
        }
    }
}
