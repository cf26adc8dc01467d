import { sql } from "@lamella/database";
import type { Kysely, Migration } from "@lamella/database";

/** By name, in order. What has been released stays as it is. */
export const MIGRATIONS: Readonly<Record<string, Migration>> = { "001-store": { up: createTables } };

/** Rows lie in the order of the primary key, where lists and look-ups find them without an index between. */
const CLUSTERED = sql`without rowid`;

async function createTables(kysely: Kysely<unknown>): Promise<void> {
  const { schema } = kysely;
  await schema
    .createTable("tags")
    .addColumn("name", "text", (column) => column.primaryKey())
    .addColumn("descriptor", "text", (column) => column.notNull())
    .addColumn("root_digest", "text", (column) => column.notNull())
    .addColumn("scope", "text", (column) => column.notNull().check(sql`scope in ('local', 'registry')`))
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .modifyEnd(CLUSTERED)
    .execute();
  await schema.createIndex("tags_by_root").on("tags").columns(["root_digest", "name", "scope"]).execute();

  await schema
    .createTable("images")
    .addColumn("manifest_digest", "text", (column) => column.primaryKey())
    .addColumn("descriptor", "text", (column) => column.notNull())
    .addColumn("platform", "text", (column) => column.notNull())
    .addColumn("config_digest", "text", (column) => column.notNull())
    .addColumn("config_size_bytes", "bigint", (column) => column.notNull())
    .addColumn("config", "text", (column) => column.notNull())
    .addColumn("size_bytes", "bigint", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .modifyEnd(CLUSTERED)
    .execute();
  await schema.createIndex("images_by_config").on("images").column("config_digest").execute();

  await schema
    .createTable("image_roots")
    .addColumn("root_digest", "text", (column) => column.notNull())
    .addColumn("manifest_digest", "text", (column) =>
      column.notNull().references("images.manifest_digest").onDelete("cascade"),
    )
    .addPrimaryKeyConstraint("image_roots_key", ["root_digest", "manifest_digest"])
    .modifyEnd(CLUSTERED)
    .execute();
  await schema.createIndex("image_roots_by_manifest").on("image_roots").column("manifest_digest").execute();

  await schema
    .createTable("image_layers")
    .addColumn("manifest_digest", "text", (column) =>
      column.notNull().references("images.manifest_digest").onDelete("cascade"),
    )
    .addColumn("position", "integer", (column) => column.notNull())
    .addColumn("digest", "text", (column) => column.notNull())
    .addColumn("media_type", "text", (column) => column.notNull())
    .addColumn("size_bytes", "bigint", (column) => column.notNull())
    .addColumn("diff_id", "text", (column) => column.notNull())
    .addPrimaryKeyConstraint("image_layers_key", ["manifest_digest", "position"])
    .modifyEnd(CLUSTERED)
    .execute();
  await schema
    .createIndex("image_layers_by_digest")
    .on("image_layers")
    .columns(["digest", "manifest_digest", "size_bytes"])
    .execute();
  await schema.createIndex("image_layers_by_diff_id").on("image_layers").column("diff_id").execute();

  await schema
    .createTable("disks")
    .addColumn("key", "text", (column) => column.primaryKey())
    .addColumn("manifest_digest", "text", (column) => column.notNull())
    .addColumn("format", "text", (column) => column.notNull())
    .addColumn("options", "text", (column) => column.notNull())
    .addColumn("file", "text", (column) => column.notNull())
    .addColumn("size_bytes", "bigint", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("used_at", "bigint", (column) => column.notNull())
    .execute();
  await schema.createIndex("disks_by_manifest").on("disks").column("manifest_digest").execute();
  await schema
    .createTable("disk_images")
    .addColumn("disk_key", "text", (column) => column.notNull().references("disks.key").onDelete("cascade"))
    .addColumn("manifest_digest", "text", (column) =>
      column.notNull().references("images.manifest_digest").onDelete("cascade"),
    )
    .addPrimaryKeyConstraint("disk_images_key", ["disk_key", "manifest_digest"])
    .modifyEnd(CLUSTERED)
    .execute();
  await schema.createIndex("disk_images_by_manifest").on("disk_images").column("manifest_digest").execute();

  await schema
    .createTable("builds")
    .addColumn("id", "integer", (column) => column.primaryKey().autoIncrement())
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("platform", "text", (column) => column.notNull())
    .addColumn("format", "text", (column) => column.notNull())
    .addColumn("options", "text", (column) => column.notNull())
    .addColumn("manifest_digest", "text")
    .addColumn("root_digest", "text")
    .addColumn("disk_key", "text")
    .addColumn("status", "text", (column) =>
      column.notNull().check(sql`status in ('pending', 'pulling', 'converting', 'ready', 'failed', 'cancelled')`),
    )
    .addColumn("error", "text")
    .addColumn("error_code", "text")
    .addColumn("owner", "text")
    .addColumn("attempts", "integer", (column) => column.notNull().defaultTo(0))
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("started_at", "bigint")
    .addColumn("finished_at", "bigint")
    .addColumn("idempotency_key", "text", (column) => column.unique())
    .execute();
  await schema.createIndex("builds_by_status").on("builds").column("status").execute();
  await schema.createIndex("builds_by_name").on("builds").column("name").execute();

  await schema
    .createTable("leases")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("owner", "text", (column) => column.notNull())
    .addColumn("purpose", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("expires_at", "bigint")
    .execute();
  await schema
    .createTable("lease_items")
    .addColumn("lease_id", "text", (column) => column.notNull().references("leases.id").onDelete("cascade"))
    .addColumn("kind", "text", (column) => column.notNull().check(sql`kind in ('blob', 'layer', 'disk')`))
    .addColumn("ref", "text", (column) => column.notNull())
    .addPrimaryKeyConstraint("lease_items_key", ["lease_id", "kind", "ref"])
    .modifyEnd(CLUSTERED)
    .execute();
  await schema.createIndex("lease_items_by_ref").on("lease_items").columns(["kind", "ref"]).execute();

  await schema
    .createTable("layout")
    .addColumn("id", "integer", (column) => column.primaryKey().check(sql`id = 1`))
    .addColumn("wanted", "integer", (column) => column.notNull())
    .addColumn("written", "integer", (column) => column.notNull())
    .addColumn("file", "text")
    .execute();
  await sql`insert into layout (id, wanted, written) values (1, 1, 0)`.execute(kysely);
  await schema
    .createTable("removed_tags")
    .addColumn("name", "text", (column) => column.primaryKey())
    .addColumn("wanted", "integer", (column) => column.notNull())
    .execute();
}
