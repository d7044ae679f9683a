//! `GET /api/query`: any measures by any dimensions, page by page.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use samovar_levels::{Cursor, Encoded, Format, Missing, NoPage, Queried};

use crate::api::{self, Sent};
use crate::app::App;
use crate::ask;
use crate::encoding;
use crate::error::Refusal;
use crate::questions::Head;

/// `GET /api/query`
pub(crate) async fn query(
    State(app): State<App>,
    RawQuery(text): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let engine = app.engine()?;
    let clock = engine.samovar().clock();
    let begun = clock.elapsed();
    let text = text.unwrap_or_default();
    let asked = ask::query(&text, &engine.dataset().schema)?;
    let format = encoding::format(&headers)
        .ok_or_else(|| Refusal::NotAcceptable(Format::ALL.map(Format::media_type).join(", ")))?;
    let encoding = encoding::choose(headers.get(header::ACCEPT_ENCODING));
    let missing = if asked.incomplete { Missing::Allow } else { Missing::Wait };
    let query = Arc::new(asked.query);
    let queried = engine
        .query(&query, missing, move |page| {
            Ok((encoding::encode(encoding, &page.write(format)?), page.next))
        })
        .await;
    let (bytes, next, proof) = match queried {
        Ok(Queried::Page((bytes, next), proof)) => (bytes, next, proof),
        Ok(Queried::None(NoPage::Changed)) => return Err(Refusal::Changed),
        Ok(Queried::None(NoPage::OtherQuestion)) => {
            let found = query.cursor.map(|cursor| cursor.to_string()).unwrap_or_default();
            return Err(Refusal::field(
                "cursor",
                &found,
                "where a page of this very question ended",
            ));
        }
        Err(failed) => return Err(api::refused(engine, &query.selection, failed).await),
    };
    let sent = Sent {
        body: Encoded::new(bytes),
        encoding,
        content_type: match format {
            Format::Csv => "text/csv; charset=utf-8",
            Format::Json | Format::Arrow => format.media_type(),
        },
        vary: "Accept, Accept-Encoding",
        next: next.map(|cursor| address(&text, &cursor)),
        proof,
    };
    let head = Head::new(sent.body.tag, &sent.proof);
    let now = clock.now();
    Ok(api::tell(sent, head.as_ref(), &headers, now, clock.elapsed().saturating_sub(begun)))
}

/// The same question from a cursor on.
fn address(query: &str, cursor: &Cursor) -> String {
    let rest = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    let rest: String = rest.map(|pair| format!("{pair}&")).collect();
    // Angle brackets end an address in a header.
    let rest = rest.replace('<', "%3C").replace('>', "%3E");
    format!("/api/query?{rest}cursor={cursor}")
}
