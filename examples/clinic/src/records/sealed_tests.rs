use std::sync::Arc;

use phi_types::{NoRecorder, SystemClock};

use super::*;
use crate::app::App;
use crate::fhir::Bundle;
use crate::folder::Folder;
use crate::population;

#[tokio::test]
async fn whatever_stands_in_clear_is_named_by_its_column() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::prepare(dir.path()).unwrap();
    let open = async || App::open(&folder, &folder.lock(), Arc::new(SystemClock::new())).await.unwrap();
    let app = open().await;
    let (mut identifiers, mut documents) = (0, 0);
    for json in population::bundles(7, 3) {
        let bundle = Bundle::parse(&json).unwrap();
        identifiers += bundle.patients[0].identifiers.iter().count() as u64;
        documents += bundle.patients[0].documents.len() as u64;
        app.records.store(&bundle, &json, &NoRecorder, &SystemClock::new()).await.unwrap();
    }
    let whole = Ok(SealedValues { identifiers, documents });
    assert_eq!(app.records.sealed_values().await.unwrap(), whole);

    let names = Identifier::ALL.map(Identifier::column).into_iter().chain(["source_tag"]);
    let columns = names.map(|name| ("clinic_patients", name)).chain([("clinic_documents", "body")]);
    for (table, column) in columns.chain([("clinic_documents", "kind")]) {
        let clear =
            if column == "kind" { "'Smith'" } else { "CAST('a plain text that is longer than any header' AS BLOB)" };
        let row = format!("(SELECT max(id) FROM {table})");
        let before = format!("CREATE TABLE before_it AS SELECT {column} AS was FROM {table} WHERE id = {row}");
        let change = format!("UPDATE {table} SET {column} = {clear} WHERE id = {row}");
        let back = format!("UPDATE {table} SET {column} = (SELECT was FROM before_it) WHERE id = {row}");
        for step in [before, change] {
            sqlx::raw_sql(sqlx::AssertSqlSafe(step)).execute(&app.db).await.unwrap();
        }
        let named = InClear(format!("{table}.{column}"));
        assert_eq!(app.records.sealed_values().await.unwrap(), Err(named));
        for step in [back, "DROP TABLE before_it".to_owned()] {
            sqlx::raw_sql(sqlx::AssertSqlSafe(step)).execute(&app.db).await.unwrap();
        }
    }
    assert_eq!(app.records.sealed_values().await.unwrap(), whole);

    sqlx::query("ALTER TABLE clinic_patients ADD COLUMN nickname TEXT").execute(&app.db).await.unwrap();
    app.db.close().await;
    let app = open().await;
    assert_eq!(app.records.sealed_values().await.unwrap(), Err(InClear("clinic_patients.nickname".to_owned())));
}
