//! `models` and `models/{id}` (2.11): one reply that the OpenAI and the Anthropic SDKs both parse. Which models a key
//! may see is decided elsewhere.

use crate::scan::quote_into;
use bytes::Bytes;
use claviger_domain::endpoint::EndpointName;
use claviger_domain::time::Timestamp;

/// One model as it is listed.
#[derive(Clone, Copy, Debug)]
pub struct ModelItem<'a> {
    /// The id to call it by: a public model id or an alias.
    pub id: &'a str,
    /// Seconds since 1970; clamped to what clients read, an unsigned 32-bit number.
    pub created_seconds: i64,
    /// Who offers it.
    pub owned_by: &'a str,
    /// The endpoints that serve it.
    pub endpoints: &'a [EndpointName],
}

/// The body of `GET models`: everything on one page.
pub fn list_body(items: &[ModelItem<'_>]) -> Bytes {
    let mut out = Vec::with_capacity(96 + items.len() * 256);
    out.extend_from_slice(b"{\"object\":\"list\",\"data\":[");
    for (number, item) in items.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        write_item(&mut out, item);
    }
    out.extend_from_slice(b"],\"has_more\":false,\"first_id\":");
    id_or_null(&mut out, items.first());
    out.extend_from_slice(b",\"last_id\":");
    id_or_null(&mut out, items.last());
    out.push(b'}');
    out.into()
}

/// The body of `GET models/{id}`.
pub fn item_body(item: &ModelItem<'_>) -> Bytes {
    let mut out = Vec::with_capacity(256);
    write_item(&mut out, item);
    out.into()
}

fn write_item(out: &mut Vec<u8>, item: &ModelItem<'_>) {
    let created = u32::try_from(item.created_seconds.max(0)).unwrap_or(u32::MAX);
    out.extend_from_slice(b"{\"id\":");
    quote_into(out, item.id);
    out.extend_from_slice(b",\"object\":\"model\",\"type\":\"model\",\"created\":");
    out.extend_from_slice(created.to_string().as_bytes());
    out.extend_from_slice(b",\"created_at\":");
    quote_into(out, &Timestamp::from_seconds(created.into()).rfc3339());
    out.extend_from_slice(b",\"owned_by\":");
    quote_into(out, item.owned_by);
    out.extend_from_slice(b",\"display_name\":");
    quote_into(out, item.id);
    out.extend_from_slice(b",\"endpoints\":[");
    for (number, endpoint) in item.endpoints.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        quote_into(out, endpoint.name());
    }
    out.extend_from_slice(b"]}");
}

fn id_or_null(out: &mut Vec<u8>, item: Option<&ModelItem<'_>>) {
    match item {
        Some(item) => quote_into(out, item.id),
        None => out.extend_from_slice(b"null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ITEM: ModelItem<'static> = ModelItem {
        id: "meta-llama/Llama-3.1-8B-Instruct",
        created_seconds: 1_764_000_000,
        owned_by: "platform",
        endpoints: &[EndpointName::ChatCompletions],
    };

    #[test]
    fn an_item_parses_in_both_families_of_sdks() {
        assert_eq!(
            item_body(&ITEM),
            concat!(
                r#"{"id":"meta-llama/Llama-3.1-8B-Instruct","object":"model","type":"model","created":1764000000,"#,
                r#""created_at":"2025-11-24T16:00:00Z","owned_by":"platform","#,
                r#""display_name":"meta-llama/Llama-3.1-8B-Instruct","endpoints":["chat.completions"]}"#
            )
        );
    }

    #[test]
    fn a_list_is_one_page_and_names_its_ends() {
        let list: serde_json::Value =
            serde_json::from_slice(&list_body(&[ITEM, ModelItem { id: "b", ..ITEM }])).unwrap();
        assert_eq!(list["object"], "list");
        assert_eq!(list["data"].as_array().unwrap().len(), 2);
        assert_eq!((&list["first_id"], &list["last_id"]), (&ITEM.id.into(), &"b".into()));
        assert_eq!(list["has_more"], false);
    }

    #[test]
    fn an_empty_list_has_no_ends() {
        assert_eq!(list_body(&[]), r#"{"object":"list","data":[],"has_more":false,"first_id":null,"last_id":null}"#);
    }

    #[test]
    fn a_date_beyond_32_bits_is_clamped() {
        let item: serde_json::Value =
            serde_json::from_slice(&item_body(&ModelItem { created_seconds: i64::MAX, ..ITEM })).unwrap();
        assert_eq!(item["created"], u32::MAX);
    }
}
