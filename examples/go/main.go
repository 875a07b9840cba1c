// Reads log lines from standard input into a database, scores them there, and prints what was found.
//
//	$ go run . ../../dist/anomaly0 logs.db < ../../sql/demo/sample.log
package main

import (
	"bufio"
	"database/sql"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/mattn/go-sqlite3"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: find-anomalies EXTENSION DATABASE < LINES")
	}
	if err := run(os.Args[1], os.Args[2], os.Stdin); err != nil {
		log.Fatal(err)
	}
}

func run(extension, database string, lines io.Reader) error {
	db, err := open(extension, database)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := insert(db, lines); err != nil {
		return err
	}
	if err := score(db); err != nil {
		return err
	}
	return printDetections(db)
}

// open registers a driver whose every connection has the extension loaded and the bundled model configured, and makes
// the tables.
func open(extension, database string) (*sql.DB, error) {
	sql.Register("sqlite3_with_anomaly", &sqlite3.SQLiteDriver{
		Extensions: []string{extension},
		ConnectHook: func(connection *sqlite3.SQLiteConn) error {
			_, err := connection.Exec("SELECT anomaly_config('model', 'bundled')", nil)
			return err
		},
	})
	db, err := sql.Open("sqlite3_with_anomaly", database)
	if err != nil {
		return nil, err
	}
	_, err = db.Exec("SELECT anomaly_init()")
	return db, err
}

// insert makes an entry of each line; a line that was read before has its id already, and stays as it is.
func insert(db *sql.DB, lines io.Reader) error {
	transaction, err := db.Begin()
	if err != nil {
		return err
	}
	defer transaction.Rollback()
	statement, err := transaction.Prepare("INSERT OR IGNORE INTO log_entries (id, source_id, text) VALUES (?, 'stdin', ?)")
	if err != nil {
		return err
	}
	scanner := bufio.NewScanner(lines)
	scanner.Buffer(nil, 1<<20) // the longest line, in bytes
	for number := 0; scanner.Scan(); number++ {
		if _, err := statement.Exec(fmt.Sprintf("stdin:%d", number), scanner.Text()); err != nil {
			return err
		}
	}
	if err := scanner.Err(); err != nil {
		return err
	}
	return transaction.Commit()
}

// score scores what is pending; each row comes as its batch is committed.
func score(db *sql.DB) error {
	batches, err := db.Query("SELECT scored, detections, remaining FROM anomaly_score_pending(256, 0.75)")
	if err != nil {
		return err
	}
	defer batches.Close()
	for batches.Next() {
		var scored, detections, remaining int
		if err := batches.Scan(&scored, &detections, &remaining); err != nil {
			return err
		}
		fmt.Printf("%d scored, %d detected, %d to go\n", scored, detections, remaining)
	}
	return batches.Err()
}

func printDetections(db *sql.DB) error {
	rows, err := db.Query("SELECT severity, anomaly_label, anomaly_score, text FROM anomaly_detections(20)")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var severity, label, text string
		var score float64
		if err := rows.Scan(&severity, &label, &score, &text); err != nil {
			return err
		}
		fmt.Printf("%s %s %.2f %s\n", severity, label, score, text)
	}
	return rows.Err()
}
