-- The tables of the system, and rows enough that figures and dumps are not empty.
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('7c1f0a9d2e4b');

CREATE TABLE "user" (
    id serial PRIMARY KEY,
    username text NOT NULL UNIQUE,
    email text NOT NULL UNIQUE,
    password_hash text NOT NULL,
    is_active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE prediction (
    id bigserial PRIMARY KEY,
    user_id integer NOT NULL REFERENCES "user" ON DELETE CASCADE,
    filename text NOT NULL,
    file_size bigint NOT NULL,
    result jsonb,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX prediction_user_created ON prediction (user_id, created_at DESC);
CREATE TABLE detection (
    id bigserial PRIMARY KEY,
    prediction_id bigint REFERENCES prediction ON DELETE CASCADE,
    user_id integer NOT NULL REFERENCES "user" ON DELETE CASCADE,
    species text NOT NULL,
    confidence double precision NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    latitude double precision,
    longitude double precision,
    detected_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX detection_detected_at ON detection (detected_at);
CREATE TABLE notification_preference (
    user_id integer PRIMARY KEY REFERENCES "user" ON DELETE CASCADE,
    email_enabled boolean NOT NULL DEFAULT true,
    push_enabled boolean NOT NULL DEFAULT false,
    minimum_confidence double precision NOT NULL DEFAULT 0.8
);
CREATE TABLE plan_features (
    plan_type text PRIMARY KEY,
    monthly_quota integer NOT NULL,
    max_file_size_mb integer NOT NULL,
    priority_queue boolean NOT NULL DEFAULT false
);
CREATE TABLE user_plans (
    id serial PRIMARY KEY,
    user_id integer NOT NULL REFERENCES "user" ON DELETE CASCADE,
    plan_type text NOT NULL REFERENCES plan_features,
    status text NOT NULL DEFAULT 'active',
    started_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE quota_usage (
    user_id integer NOT NULL REFERENCES "user" ON DELETE CASCADE,
    month date NOT NULL,
    used integer NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, month)
);
CREATE TABLE daily_usage_details (
    user_id integer NOT NULL REFERENCES "user" ON DELETE CASCADE,
    day date NOT NULL,
    predictions integer NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, day)
);
CREATE TABLE subscription_events (
    id bigserial PRIMARY KEY,
    user_id integer NOT NULL REFERENCES "user" ON DELETE CASCADE,
    event text NOT NULL,
    occurred_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE quota_transactions (
    id bigserial PRIMARY KEY,
    user_id integer NOT NULL REFERENCES "user" ON DELETE CASCADE,
    amount integer NOT NULL,
    reason text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE data_retention_log (
    id bigserial PRIMARY KEY,
    table_name text NOT NULL,
    deleted_rows bigint NOT NULL,
    ran_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE prediction_archive (LIKE prediction INCLUDING ALL);

INSERT INTO plan_features VALUES ('free', 600, 50, false), ('basic', 3000, 100, false), ('premium', 30000, 500, true);
INSERT INTO "user" (username, email, password_hash)
    SELECT 'user' || n, 'user' || n || '@example.org', 'scrypt:' || md5(n::text) FROM generate_series(1, 50) AS n;
INSERT INTO notification_preference (user_id) SELECT id FROM "user";
INSERT INTO user_plans (user_id, plan_type)
    SELECT id, (ARRAY['free', 'basic', 'premium'])[1 + id % 3] FROM "user";
INSERT INTO prediction (user_id, filename, file_size, result, created_at)
    SELECT 1 + n % 50, 'recording-' || n || '.wav', 48000 + n,
           jsonb_build_object('species', (ARRAY['robin', 'owl', 'fox', 'bat', 'boar', 'cricket'])[1 + n % 6], 'confidence', 0.97),
           now() - n * interval '10 minutes'
    FROM generate_series(1, 1000) AS n;
INSERT INTO detection (prediction_id, user_id, species, confidence, latitude, longitude, detected_at)
    SELECT id, user_id, result ->> 'species', (result ->> 'confidence')::double precision,
           46.2 + id % 100 * 0.001, 6.1 + id % 100 * 0.001, created_at
    FROM prediction;
INSERT INTO quota_usage
    SELECT user_id, date_trunc('month', created_at)::date, count(*) FROM prediction GROUP BY 1, 2;
INSERT INTO daily_usage_details
    SELECT user_id, created_at::date, count(*), sum(file_size) FROM prediction GROUP BY 1, 2;
INSERT INTO subscription_events (user_id, event) SELECT user_id, 'started' FROM user_plans;
INSERT INTO quota_transactions (user_id, amount, reason) SELECT user_id, used, 'prediction' FROM quota_usage;
INSERT INTO data_retention_log (table_name, deleted_rows) VALUES ('prediction', 0);
