-- A database as the version before migrations made it, with an alert, a delivery of each state and a count.
BEGIN TRANSACTION;
CREATE TABLE alerts (
    alert_id VARCHAR(64) NOT NULL,
    rule VARCHAR(100) NOT NULL,
    group_json TEXT NOT NULL,
    severity VARCHAR(10) NOT NULL,
    state VARCHAR(10) NOT NULL,
    opened DATETIME NOT NULL,
    resolved DATETIME,
    summary TEXT NOT NULL,
    "query" TEXT NOT NULL,
    PRIMARY KEY (alert_id)
);
INSERT INTO "alerts" VALUES('a1','r','{"entities.id":"AAPL"}','critical','active','2026-03-02 08:00:00.123456',NULL,'a1 active','kind:news');
CREATE TABLE deliveries (
    id VARCHAR(64) NOT NULL,
    transition_id VARCHAR(64) NOT NULL,
    alert_id VARCHAR(64) NOT NULL,
    sequence INTEGER NOT NULL,
    receiver VARCHAR(100) NOT NULL,
    status VARCHAR(10) NOT NULL,
    attempts INTEGER NOT NULL,
    next_attempt DATETIME NOT NULL,
    leased_until DATETIME,
    lease VARCHAR(32),
    last_error TEXT,
    delivered_at DATETIME,
    PRIMARY KEY (id),
    UNIQUE (transition_id, receiver),
    FOREIGN KEY(transition_id) REFERENCES transitions (id),
    FOREIGN KEY(alert_id) REFERENCES alerts (alert_id)
);
INSERT INTO "deliveries" VALUES('msg_cf4cac3e8a366623ecdbcee553a6ac7e','a1-active','a1',1,'console','pending',0,'2026-03-02 08:00:00.123456',NULL,NULL,NULL,NULL);
INSERT INTO "deliveries" VALUES('msg_784fde60f49d6df3eadca94851ca85c0','a1-active','a1',1,'hook','delivered',1,'2026-03-02 08:00:00.123456',NULL,NULL,NULL,'2026-03-02 08:00:00.123456');
CREATE TABLE disabled_receivers (
    receiver VARCHAR(100) NOT NULL,
    target VARCHAR(64) NOT NULL,
    since DATETIME NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (receiver, target)
);
INSERT INTO "disabled_receivers" VALUES('hook','t','2026-03-02 08:00:00.123456','410');
CREATE TABLE ledger (
    epoch VARCHAR(64) NOT NULL,
    stage VARCHAR(64) NOT NULL,
    topic VARCHAR(255) NOT NULL,
    partition INTEGER NOT NULL,
    "offset" BIGINT NOT NULL,
    passed BIGINT NOT NULL,
    absorbed BIGINT NOT NULL,
    dead BIGINT NOT NULL,
    PRIMARY KEY (epoch, stage, topic, partition)
);
INSERT INTO "ledger" VALUES('e','index','text.scored',0,1,2,0,0);
CREATE TABLE transitions (
    id VARCHAR(64) NOT NULL,
    alert_id VARCHAR(64) NOT NULL,
    sequence INTEGER NOT NULL,
    state VARCHAR(10) NOT NULL,
    reason VARCHAR(60) NOT NULL,
    time DATETIME NOT NULL,
    decided DATETIME NOT NULL,
    body_json TEXT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (alert_id, sequence),
    FOREIGN KEY(alert_id) REFERENCES alerts (alert_id)
);
INSERT INTO "transitions" VALUES('a1-active','a1',1,'active','frequency reached','2026-03-02 08:00:00.123456','2026-03-02 08:00:00.123456','{"id":"a1-active","alert_id":"a1","rule":"r","group":{"entities.id":"AAPL"},"severity":"critical","state":"active","reason":"frequency reached","time":"2026-03-02T08:00:00.123456Z","decided":"2026-03-02T08:00:00.123456Z","summary":"a1 active","query":"kind:news","evidence":{"p":0.25},"event_ids":["e1"]}');
CREATE INDEX alerts_by_rule ON alerts (rule, opened);
CREATE INDEX alerts_by_opened ON alerts (opened, alert_id);
CREATE INDEX deliveries_due ON deliveries (status, receiver, next_attempt);
CREATE INDEX deliveries_by_alert ON deliveries (alert_id, receiver, sequence);
COMMIT;
