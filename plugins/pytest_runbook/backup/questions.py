"""What the catalogs of a database are asked about what it holds; the session resolves every name in `pg_catalog`."""

from __future__ import annotations

ROOM = """
    SELECT current_setting('max_locks_per_transaction')::bigint
           * (current_setting('max_connections')::integer + current_setting('max_prepared_transactions')::integer)
"""
"""How many locks all sessions of a server can have together."""
OURS = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
NOT_OF_EXTENSION = """NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.objid = c.oid AND d.classid = c.tableoid AND d.deptype = 'e')"""
UNREAD = "c.relpersistence = 'u' AND pg_is_in_recovery()"
"""A standby has no rows of what is unlogged."""
HERE = "subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
KEPT = f"""
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND {OURS}
      AND ({NOT_OF_EXTENSION} OR EXISTS (SELECT FROM pg_extension WHERE c.oid = ANY (extconfig)))
"""
"""The tables whose rows a dump has; of an extension, those that hold what its users configured."""
HELD = f"SELECT n.nspname, c.relname {KEPT} ORDER BY 1, 2"
# The catalog shows the file of the view, the function that of now.
REWRITTEN = f"""
    SELECT n.nspname || '.' || c.relname {KEPT} AND c.relfilenode IS DISTINCT FROM pg_relation_filenode(c.oid::regclass)
"""  # noqa: S608 - constants
# What is hashed, or written, by something that another server numbers or writes otherwise: enums and objects by their OID.
PLAIN = """NOT EXISTS (SELECT FROM pg_attribute a JOIN pg_type w ON w.oid = a.atttypid
                       JOIN pg_type t ON t.oid IN (w.oid, w.typelem)
                       WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                         AND (t.oid >= 16384 OR t.typtype NOT IN ('b', 'r', 'm') OR t.typname ~ '^(reg|aclitem|money)'))"""
# What a query of a table has the planner work out, as whoever asks: what is constant in the expressions of its indexes,
# statistics and partitions. Those of a superuser and our own do no harm.
CODED = """
    SELECT part.relation
    FROM (SELECT indrelid AS relation, 'pg_class'::regclass AS catalog, indexrelid AS object FROM pg_index
          UNION ALL SELECT stxrelid, 'pg_statistic_ext'::regclass, oid FROM pg_statistic_ext
          UNION ALL SELECT partrelid, 'pg_class'::regclass, partrelid FROM pg_partitioned_table) AS part
    JOIN pg_depend d ON d.classid = part.catalog AND d.objid = part.object
    JOIN (SELECT 'pg_proc'::regclass AS catalog, oid AS object, proowner AS owner FROM pg_proc
          UNION ALL SELECT 'pg_operator'::regclass, o.oid, proowner FROM pg_operator o JOIN pg_proc p ON p.oid = o.oprcode
          UNION ALL SELECT 'pg_type'::regclass, oid, typowner FROM pg_type WHERE typtype = 'd') AS code
         ON code.catalog = d.refclassid AND code.object = d.refobjid
    JOIN pg_roles r ON r.oid = code.owner
    WHERE NOT r.rolsuper AND r.rolname <> current_user
"""
# The hash of an enum is that of its OID, which each server gives anew: rows change the partition when they are restored. So
# pg_dump has them put in by way of the root, and they are told of as rows of the root.
STRAYING = """
    SELECT leaf.relid::oid AS leaf, pg_partition_root(p.partrelid::regclass)::oid AS root
    FROM pg_partitioned_table p, pg_partition_tree(p.partrelid::regclass) AS leaf
    WHERE leaf.isleaf AND (SELECT o.oid FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod
                           WHERE o.opcname = 'enum_ops' AND o.opcnamespace = 'pg_catalog'::regnamespace
                             AND m.amname = 'hash') = ANY (p.partclass)
"""
ROOTS = f"""
    SELECT ln.nspname || '.' || l.relname, rn.nspname || '.' || r.relname FROM ({STRAYING}) AS straying
    JOIN pg_class l ON l.oid = leaf JOIN pg_namespace ln ON ln.oid = l.relnamespace
    JOIN pg_class r ON r.oid = root JOIN pg_namespace rn ON rn.oid = r.relnamespace
"""  # noqa: S608 - constants
TABLES = f"""
    WITH straying AS MATERIALIZED ({STRAYING}), coded AS MATERIALIZED ({CODED})
    SELECT n.nspname, c.relname,
           ARRAY(SELECT ARRAY[a.attname::text, CASE WHEN a.attcollation <> 0 THEN ' COLLATE pg_catalog."C"' ELSE '' END]
                 FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k(number, place), pg_attribute a
                 WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = c.oid AND a.attnum = k.number ORDER BY k.place),
           CASE WHEN c.reltuples > 0 THEN c.reltuples ELSE pg_relation_size(c.oid::regclass) / 64 END,
           {PLAIN},
           c.oid IN (TABLE coded) OR EXISTS (SELECT FROM straying WHERE root = c.oid AND leaf IN (TABLE coded)),
           ARRAY(SELECT ARRAY[ln.nspname, l.relname] FROM straying JOIN pg_class l ON l.oid = leaf
                 JOIN pg_namespace ln ON ln.oid = l.relnamespace WHERE root = c.oid)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE (c.relkind = 'r' AND c.oid NOT IN (SELECT leaf FROM straying) OR c.oid IN (SELECT root FROM straying))
      AND c.relpersistence <> 't' AND NOT ({UNREAD}) AND {OURS} AND {NOT_OF_EXTENSION} ORDER BY 1, 2
"""  # noqa: S608 - constants
# A table and what inherits from it, partitions above all: schema, name, kind, and whether a query of this column runs no code
# but ours. A type of its own may come with a cast of its own.
MEMBERS = f"""
    WITH RECURSIVE member AS (
        SELECT c.oid, %s AS asked FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = %s AND c.relname = %s
        UNION SELECT i.inhrelid, asked FROM pg_inherits i JOIN member ON i.inhparent = member.oid)
    SELECT n.nspname, c.relname, c.relkind::text,
           c.oid NOT IN ({CODED}) AND NOT EXISTS (
               SELECT FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
               WHERE a.attrelid = c.oid AND a.attname = asked AND (t.oid >= 16384 OR t.typtype <> 'b'))
    FROM member JOIN pg_class c ON c.oid = member.oid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT ({UNREAD})
"""  # noqa: S608 - constants
# Not of `pg_sequences`, which locks them all until the transaction ends.
SEQUENCES = f"""
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND NOT ({UNREAD}) AND {OURS} ORDER BY 1, 2
"""  # noqa: S608 - constants
INDEXES = f"""
    SELECT n.nspname || '.' || c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE i.indisvalid AND {OURS} AND {NOT_OF_EXTENSION} ORDER BY 1
"""  # noqa: S608 - constants
# Not-null constraints are rows of their own from PostgreSQL 18 on, and were none before.
CONSTRAINTS = f"""
    SELECT count(*) FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace WHERE {OURS} AND k.contype <> 'n'
"""  # noqa: S608 - constants
# Of a trigger that partitions have too, the one of their parent counts: each release marks the others in a way of its own.
OBJECTS = f"""
    SELECT CASE WHEN c.relkind = 'v' THEN 'views' WHEN c.relispopulated THEN 'materialised views'
                ELSE 'materialised views, empty' END, count(*)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('v', 'm') AND {OURS} AND {NOT_OF_EXTENSION}
    GROUP BY 1
    UNION ALL SELECT 'functions', count(*) FROM pg_proc c JOIN pg_namespace n ON n.oid = c.pronamespace
    WHERE {OURS} AND {NOT_OF_EXTENSION}
    UNION ALL SELECT 'triggers', count(*) FROM pg_trigger c JOIN pg_class t ON t.oid = c.tgrelid
    JOIN pg_namespace n ON n.oid = t.relnamespace
    WHERE NOT c.tgisinternal AND coalesce(to_jsonb(c) ->> 'tgparentid', '0') = '0' AND {OURS} AND {NOT_OF_EXTENSION}
    UNION ALL SELECT 'policies', count(*) FROM pg_policy c JOIN pg_class t ON t.oid = c.polrelid
    JOIN pg_namespace n ON n.oid = t.relnamespace WHERE {OURS} AND {NOT_OF_EXTENSION}
    UNION ALL SELECT 'large objects', count(*) FROM pg_largeobject_metadata
    UNION ALL SELECT 'publications', count(*) FROM pg_publication HAVING count(*) > 0
    UNION ALL SELECT 'subscriptions', count(*) FROM pg_subscription WHERE {HERE} HAVING count(*) > 0
    UNION ALL SELECT 'event triggers', count(*) FROM pg_event_trigger c WHERE {NOT_OF_EXTENSION} HAVING count(*) > 0
    UNION ALL SELECT 'foreign servers', count(*) FROM pg_foreign_server c WHERE {NOT_OF_EXTENSION} HAVING count(*) > 0
    UNION ALL SELECT 'user mappings', count(*) FROM pg_user_mappings HAVING count(*) > 0
"""  # noqa: S608 - constants
# What a dump has not, and nobody would miss in what is restored of it: of extensions only what they say their users configured,
# and who is no superuser gets no subscriptions, and not the options of others for foreign servers.
UNSAVED = f"""
    SELECT format('rows of "%s.%s", a table of an extension,', n.nspname, c.relname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND {OURS} AND NOT ({NOT_OF_EXTENSION}) AND pg_relation_size(c.oid::regclass) > 0
      AND NOT EXISTS (SELECT FROM pg_extension WHERE c.oid = ANY (extconfig))
    UNION ALL SELECT format('rows of "%s.%s", which is unlogged and has none on a standby,', n.nspname, c.relname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND {OURS} AND {UNREAD}
    UNION ALL SELECT format('settings of the subscription "%s", which only a superuser may save,', subname)
    FROM pg_subscription WHERE {HERE} AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
    UNION ALL SELECT format('options of the user mapping of "%s" for "%s", which only a superuser may save,', usename, srvname)
    FROM pg_user_mappings WHERE umoptions IS NULL AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
    ORDER BY 1
"""  # noqa: S608 - constants
UNLOGGED = f"""
    SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND {OURS} AND {NOT_OF_EXTENSION} AND {UNREAD} ORDER BY 1
"""  # noqa: S608 - constants
# A list of names may come back from a dump with other blanks and quotes.
PROPERTIES = """
    SELECT 'setting ' || split_part(one, '=', 1) || coalesce(' of ' || r.rolname, ''),
           hashtextextended(regexp_replace(one, '[[:space:]"]', '', 'g'), 0)::text
    FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_roles r ON r.oid = s.setrole,
         unnest(s.setconfig) AS one
    WHERE d.datname = current_database()
    UNION ALL SELECT 'comment', hashtextextended(description, 0)::text
    FROM pg_database d, shobj_description(d.oid, 'pg_database') AS description
    WHERE d.datname = current_database() AND description IS NOT NULL ORDER BY 1
"""
SETTINGS = """
    SELECT name, setting FROM pg_settings
    WHERE source IN ('configuration file', 'command line', 'database', 'global') AND name !~ 'password|conninfo|key|command'
    ORDER BY 1
"""
