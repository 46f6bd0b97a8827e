-- The tables that the application works with. Every statement may be run again.
CREATE TABLE IF NOT EXISTS "user" (
    id serial PRIMARY KEY,
    username varchar(80) NOT NULL UNIQUE,
    password_hash varchar(128) NOT NULL
);

CREATE TABLE IF NOT EXISTS plan_features (
    id serial PRIMARY KEY,
    plan_type varchar(50) NOT NULL UNIQUE,
    plan_name varchar(100) NOT NULL,
    monthly_quota integer NOT NULL CHECK (monthly_quota >= 0),
    data_retention_days integer NOT NULL CHECK (data_retention_days > 0),
    created_at timestamp NOT NULL DEFAULT current_timestamp
);

CREATE TABLE IF NOT EXISTS user_plans (
    id serial PRIMARY KEY,
    user_id integer NOT NULL UNIQUE REFERENCES "user" ON DELETE CASCADE,
    plan_type varchar(50) NOT NULL REFERENCES plan_features (plan_type),
    status varchar(20) NOT NULL DEFAULT 'active',
    subscription_start timestamp NOT NULL DEFAULT current_timestamp,
    subscription_end timestamp
);

CREATE TABLE IF NOT EXISTS prediction (
    id serial PRIMARY KEY,
    user_id integer NOT NULL REFERENCES "user" ON DELETE CASCADE,
    filename varchar(200),
    result text,
    file_size integer CHECK (file_size >= 0),
    created_at timestamp NOT NULL DEFAULT current_timestamp
);
CREATE INDEX IF NOT EXISTS prediction_user_created ON prediction (user_id, created_at DESC);
CREATE INDEX IF NOT EXISTS prediction_created ON prediction (created_at);

CREATE TABLE IF NOT EXISTS prediction_archive (
    id serial PRIMARY KEY,
    original_prediction_id integer NOT NULL,
    user_id integer REFERENCES "user" ON DELETE SET NULL,
    filename varchar(200),
    result text,
    file_size integer CHECK (file_size >= 0),
    created_at timestamp NOT NULL,
    archived_at timestamp NOT NULL DEFAULT current_timestamp
);

CREATE TABLE IF NOT EXISTS detection (
    id serial PRIMARY KEY,
    user_id integer REFERENCES "user" ON DELETE SET NULL,
    species varchar(100) NOT NULL,
    confidence double precision NOT NULL DEFAULT 0 CHECK (confidence BETWEEN 0 AND 1),
    zone varchar(100),
    time timestamp NOT NULL DEFAULT current_timestamp
);
CREATE INDEX IF NOT EXISTS detection_species_time ON detection (species, time);

CREATE TABLE IF NOT EXISTS notification_preference (
    id serial PRIMARY KEY,
    user_id integer NOT NULL UNIQUE REFERENCES "user" ON DELETE CASCADE,
    email_notifications boolean NOT NULL DEFAULT true,
    email_address varchar(200),
    min_priority varchar(20) NOT NULL DEFAULT 'normal'
);

CREATE TABLE IF NOT EXISTS quota_usage (
    id serial PRIMARY KEY,
    user_id integer NOT NULL REFERENCES "user" ON DELETE CASCADE,
    month integer NOT NULL CHECK (month BETWEEN 1 AND 12),
    year integer NOT NULL,
    prediction_count integer NOT NULL DEFAULT 0 CHECK (prediction_count >= 0),
    UNIQUE (user_id, month, year)
);

CREATE TABLE IF NOT EXISTS daily_usage_details (
    id serial PRIMARY KEY,
    user_id integer NOT NULL REFERENCES "user" ON DELETE CASCADE,
    usage_date date NOT NULL DEFAULT current_date,
    prediction_count integer NOT NULL DEFAULT 0 CHECK (prediction_count >= 0),
    UNIQUE (user_id, usage_date)
);

CREATE TABLE IF NOT EXISTS quota_transactions (
    id serial PRIMARY KEY,
    user_id integer NOT NULL REFERENCES "user" ON DELETE CASCADE,
    transaction_type varchar(50) NOT NULL,
    amount integer NOT NULL,
    prediction_id integer REFERENCES prediction ON DELETE SET NULL,
    created_at timestamp NOT NULL DEFAULT current_timestamp
);

CREATE TABLE IF NOT EXISTS subscription_events (
    id serial PRIMARY KEY,
    user_id integer NOT NULL REFERENCES "user" ON DELETE CASCADE,
    event_type varchar(50) NOT NULL,
    old_plan_type varchar(50) REFERENCES plan_features (plan_type),
    new_plan_type varchar(50) REFERENCES plan_features (plan_type),
    created_at timestamp NOT NULL DEFAULT current_timestamp
);

CREATE TABLE IF NOT EXISTS data_retention_log (
    id serial PRIMARY KEY,
    user_id integer NOT NULL REFERENCES "user" ON DELETE CASCADE,
    retention_days integer NOT NULL,
    records_deleted integer NOT NULL DEFAULT 0,
    deletion_date timestamp NOT NULL DEFAULT current_timestamp
);
