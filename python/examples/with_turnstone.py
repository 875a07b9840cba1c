"""A glean cycle of Turnstone's."""

from pathlib import Path

from sqlite_anomaly.turnstone import acknowledge_detection, list_detections, score_unscored

database = Path("logs.db")
result = score_unscored(database, "bundled", batch_size=256, threshold=0.75)
print(result.scored, result.detections, result.skipped, result.error)
for detection in list_detections(database, limit=10, unacked_only=True):
    print(detection["severity"], detection["text"])
    acknowledge_detection(database, detection["id"], notes="seen")
