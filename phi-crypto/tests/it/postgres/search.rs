use phi_crypto::IndexSpec;
use sqlx::{AssertSqlSafe, Postgres, QueryBuilder};

use super::server::Server;
use crate::searches::{self, AFTER, COLUMNS, DURING, OLD};

#[tokio::test]
async fn every_kind_of_index_finds_its_rows_in_postgres() {
    let Some(server) = Server::with_schema("kinds").await else { return };
    server.run("CREATE TABLE patient (id TEXT PRIMARY KEY, phone_tag BYTEA, family_3_tag BYTEA, name_and_year_tag BYTEA, area_tag BYTEA)").await;
    for row in searches::rows(&server.keys).await {
        let insert = format!("INSERT INTO patient (id, {}) VALUES ($1, $2, $3, $4, $5)", COLUMNS.join(", "));
        let mut insert = sqlx::query(AssertSqlSafe(insert)).bind(row.id);
        for tag in row.tags {
            insert = insert.bind(tag);
        }
        insert.execute(&server.pool).await.unwrap();
    }
    for (column, wanted, expected) in searches::searches(&server.keys).await {
        let mut query = QueryBuilder::<Postgres>::new("SELECT id FROM patient WHERE ");
        query.push(column);
        wanted.push_in(&mut query);
        query.push(" ORDER BY id");
        let found: Vec<String> = query.build_query_scalar().fetch_all(&server.pool).await.unwrap();
        assert_eq!(found, expected, "{column} IN");

        let query = format!("SELECT id FROM patient WHERE {column} = ANY($1) ORDER BY id");
        let found: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(query)).bind(wanted.as_slice()).fetch_all(&server.pool).await.unwrap();
        assert_eq!(found, expected, "{column} = ANY");
    }
}

#[tokio::test]
async fn an_index_is_replaced_in_place_in_postgres() {
    let Some(server) = Server::with_schema("replaced").await else { return };
    server.run("CREATE TABLE patient (id TEXT PRIMARY KEY, ssn_tag BYTEA)").await;
    let tag = async |spec: IndexSpec| spec.open(&server.keys).await.unwrap().tag("078051120").unwrap();
    let find = async |spec: IndexSpec| -> Vec<String> {
        let wanted = spec.open(&server.keys).await.unwrap().search("078051120").unwrap();
        let query = sqlx::query_scalar("SELECT id FROM patient WHERE ssn_tag = ANY($1) ORDER BY id");
        query.bind(wanted.as_slice()).fetch_all(&server.pool).await.unwrap()
    };
    for (id, spec) in [("before", OLD), ("since", DURING)] {
        let insert = sqlx::query("INSERT INTO patient VALUES ($1, $2)").bind(id).bind(tag(spec).await);
        insert.execute(&server.pool).await.unwrap();
    }
    assert_eq!(find(DURING).await, ["before", "since"]);
    assert_eq!(find(AFTER).await, ["since"]);
    let update = sqlx::query("UPDATE patient SET ssn_tag = $1 WHERE get_byte(ssn_tag, 0) = 1").bind(tag(DURING).await);
    assert_eq!(update.execute(&server.pool).await.unwrap().rows_affected(), 1);
    assert_eq!(find(AFTER).await, ["before", "since"]);
}
