//! Table functions: [eponymous-only virtual tables](https://www.sqlite.org/vtab.html#epoovtab) whose hidden columns
//! are the arguments.
//!
//! The callbacks are this crate's own, registered through `sqlite_loadable::ext`: those of `sqlite_loadable::table`
//! abort the host on a panic, take an error's text for a format string and report every error as `SQLITE_ERROR`.

use std::ffi::{CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::sync::Arc;
use std::{ptr, slice};

use rusqlite::ffi::{
    SQLITE_CONSTRAINT, SQLITE_INDEX_CONSTRAINT_EQ, SQLITE_NOMEM, SQLITE_OK, SQLITE_VTAB_DIRECTONLY,
    sqlite3_index_constraint, sqlite3_index_constraint_usage, sqlite3_vtab_config,
};
use sqlite_loadable::ext;

use super::function::destroy;
use super::guard::guard;
use super::{database, value};
use crate::db::Database;
use crate::error::{Error, Kind, Result};
use crate::value::Value;

/// A function that yields rows: `SELECT … FROM name(arguments)`.
pub trait TableFunction: Send + Sync + 'static {
    /// The name, for SQL and for error texts.
    const NAME: &'static str;
    /// The names of the columns.
    const COLUMNS: &'static [&'static str];
    /// The names of the arguments.
    const ARGUMENTS: &'static [&'static str];
    /// How many of the arguments must be given.
    const REQUIRED: usize = 0;
    /// Whether it may be used in top-level SQL only.
    const DIRECT_ONLY: bool = false;
    /// What yields the rows of one scan; it may keep statements of the database open.
    type Rows<'db>: Rows;

    /// Starts a scan.
    fn open<'db>(&self, database: &'db Database, arguments: Arguments<'_>) -> Result<Self::Rows<'db>>;
}

/// The rows of one scan, made as they are read.
pub trait Rows {
    /// The next row, as many values as there are columns; `None` after the last. The arguments are those of the scan.
    fn next(&mut self, database: &Database, arguments: Arguments<'_>) -> Result<Option<Vec<Value>>>;
}

/// Where there may be nothing to give rows of.
impl<R: Rows> Rows for Option<R> {
    fn next(&mut self, database: &Database, arguments: Arguments<'_>) -> Result<Option<Vec<Value>>> {
        self.as_mut().map_or(Ok(None), |rows| rows.next(database, arguments))
    }
}

/// The arguments of one scan; one that was not given is `NULL`.
#[derive(Clone, Copy, Debug)]
pub struct Arguments<'a>(&'a [Value]);

impl<'a> Arguments<'a> {
    /// The argument at `index`.
    pub fn get(self, index: usize) -> &'a Value {
        self.0.get(index).unwrap_or(&Value::Null)
    }
}

/// Registers `function` under its name.
///
/// # Safety
/// `db` is the connection that is loading this extension.
pub(super) unsafe fn register<T: TableFunction>(db: *mut ext::sqlite3, function: T) -> Result<()> {
    let refused = |code| Error::new(Kind::Database(code), format!("SQLite refused to register {}", T::NAME));
    let name = CString::new(T::NAME).map_err(|_| refused(SQLITE_NOMEM))?;
    let registered = Box::into_raw(Box::new(Arc::new(function))).cast::<c_void>();
    // SAFETY: the module lives as long as the process; `registered` is of the type that its callbacks take, and
    // SQLite calls the destructor exactly once, also when the registration fails.
    let code = unsafe {
        ext::sqlite3ext_create_module_v2(
            db,
            name.as_ptr(),
            Module::<T>::CALLBACKS,
            registered,
            Some(destroy::<Arc<T>>),
        )
    };
    if code == SQLITE_OK { Ok(()) } else { Err(refused(code)) }
}

struct Module<T>(PhantomData<T>);

impl<T: TableFunction> Module<T> {
    const CALLBACKS: &'static ext::sqlite3_module = &ext::sqlite3_module {
        iVersion: 2,
        xCreate: None,
        xConnect: Some(connect::<T>),
        xBestIndex: Some(best_index::<T>),
        xDisconnect: Some(disconnect::<T>),
        xDestroy: None,
        xOpen: Some(open::<T>),
        xClose: Some(close::<T>),
        xFilter: Some(filter::<T>),
        xNext: Some(next::<T>),
        xEof: Some(eof::<T>),
        xColumn: Some(column::<T>),
        xRowid: Some(rowid::<T>),
        xUpdate: None,
        xBegin: None,
        xSync: None,
        xCommit: None,
        xRollback: None,
        xFindFunction: None,
        xRename: None,
        xSavepoint: None,
        xRelease: None,
        xRollbackTo: None,
        xShadowName: None,
    };
}

/// SQLite's view of the table comes first, as `xConnect` must hand it out.
#[repr(C)]
struct Table<T> {
    base: ext::sqlite3_vtab,
    function: Arc<T>,
    database: Database,
}

/// SQLite's view of the cursor comes first, as `xOpen` must hand it out.
#[repr(C)]
struct Cursor<T: TableFunction> {
    base: ext::sqlite3_vtab_cursor,
    scan: Option<Scan<T>>,
}

impl<T: TableFunction> Cursor<T> {
    /// The value of a column of the present row, or of an argument, which is a hidden column.
    fn cell(&self, index: usize) -> &Value {
        let cell = self.scan.as_ref().and_then(|scan| {
            let row = scan.current.as_ref()?;
            row.get(index).or_else(|| scan.arguments.get(index.checked_sub(T::COLUMNS.len())?))
        });
        cell.unwrap_or(&Value::Null)
    }
}

struct Scan<T: TableFunction> {
    arguments: Vec<Value>,
    /// They borrow from the table, which SQLite keeps as long as the cursor: see `on_cursor`.
    rows: T::Rows<'static>,
    current: Option<Vec<Value>>,
    rowid: i64,
}

fn declaration<T: TableFunction>() -> String {
    let hidden = T::ARGUMENTS.iter().map(|name| format!("\"{name}\" HIDDEN"));
    let columns: Vec<_> = T::COLUMNS.iter().map(|name| format!("\"{name}\"")).chain(hidden).collect();
    format!("CREATE TABLE x({})", columns.join(", "))
}

unsafe extern "C" fn connect<T: TableFunction>(
    db: *mut ext::sqlite3,
    registered: *mut c_void,
    _argc: c_int,
    _argv: *const *const c_char,
    table: *mut *mut ext::sqlite3_vtab,
    message: *mut *mut c_char,
) -> c_int {
    let outcome = guard("xConnect", || {
        let sql = CString::new(declaration::<T>()).map_err(|_| Error::defect("a column name holds a NUL"))?;
        // SAFETY: the contract of `super`; both calls are meant for `xConnect`.
        let (function, database) = unsafe {
            check::<T>(db, ext::sqlite3ext_declare_vtab(db, sql.as_ptr()))?;
            if T::DIRECT_ONLY {
                check::<T>(db, sqlite3_vtab_config(db, SQLITE_VTAB_DIRECTONLY))?;
            }
            (Arc::clone(&*registered.cast::<Arc<T>>()), database::lend(db)?)
        };
        Ok(Box::new(Table { base: ext::sqlite3_vtab::default(), function, database }))
    });
    match outcome {
        Ok(owned) => {
            // SAFETY: `table` is where SQLite expects the new table.
            unsafe { *table = Box::into_raw(owned).cast() };
            SQLITE_OK
        }
        // SAFETY: `message` is where SQLite expects a message.
        Err(error) => unsafe { report(message, &error) },
    }
}

/// # Safety
/// `db` is an open connection, and `code` is what the last call on it gave.
unsafe fn check<T: TableFunction>(db: *mut ext::sqlite3, code: c_int) -> Result<()> {
    if code == SQLITE_OK {
        return Ok(());
    }
    // SAFETY: the caller's contract.
    Err(unsafe { database::failure(db, code) }.context(format!("SQLite refused {}", T::NAME)))
}

/// Hands the arguments that are given over to `xFilter`, in order; bit `i` of `idxNum` says that argument `i` is.
unsafe extern "C" fn best_index<T: TableFunction>(
    table: *mut ext::sqlite3_vtab,
    info: *mut ext::sqlite3_index_info,
) -> c_int {
    let planned = guard("xBestIndex", || {
        // SAFETY: the contract of `super`; the two arrays have `nConstraint` entries, or none and no address.
        let (info, constraints, usages) = unsafe {
            let info = &mut *info;
            match usize::try_from(info.nConstraint) {
                Ok(count @ 1..) => {
                    let constraints = slice::from_raw_parts(info.aConstraint, count);
                    let usages = slice::from_raw_parts_mut(info.aConstraintUsage, count);
                    (info, constraints, usages)
                }
                _ => (info, &[][..], &mut [][..]),
            }
        };
        info.estimatedCost = 1000.0;
        info.estimatedRows = 1000;
        let plan = plan(constraints, usages, T::COLUMNS.len(), T::ARGUMENTS.len());
        info.idxNum = plan.unwrap_or(0);
        Ok(plan.is_some())
    });
    match planned {
        Ok(true) => SQLITE_OK,
        // SQLite looks for another order of the tables, in which the argument is known.
        Ok(false) => SQLITE_CONSTRAINT,
        // SAFETY: SQLite takes the message from there after the callback.
        Err(error) => unsafe { report(ptr::addr_of_mut!((*table).zErrMsg), &error) },
    }
}

/// Marks the equality constraints on hidden columns as used, and gives the bit set of the arguments they stand for;
/// `None` where one of them is not known yet.
fn plan(
    constraints: &[sqlite3_index_constraint],
    usages: &mut [sqlite3_index_constraint_usage],
    columns: usize,
    arguments: usize,
) -> Option<c_int> {
    let mut given = vec![None; arguments];
    for (index, constraint) in constraints.iter().enumerate() {
        let column = usize::try_from(constraint.iColumn).unwrap_or(0);
        let slot = column.checked_sub(columns).and_then(|argument| given.get_mut(argument));
        if let Some(slot) = slot.filter(|_| c_int::from(constraint.op) == SQLITE_INDEX_CONSTRAINT_EQ) {
            if constraint.usable == 0 {
                return None;
            }
            *slot = Some(index);
        }
    }
    let mut set = 0;
    let mut position = 0;
    for (argument, index) in given.into_iter().enumerate() {
        let Some(usage) = index.and_then(|index| usages.get_mut(index)) else { continue };
        position += 1;
        usage.argvIndex = position;
        usage.omit = 1;
        set |= 1 << argument;
    }
    Some(set)
}

unsafe extern "C" fn disconnect<T: TableFunction>(table: *mut ext::sqlite3_vtab) -> c_int {
    // SAFETY: `connect` made it, and SQLite ends it here.
    unsafe { destroy::<Table<T>>(table.cast()) };
    SQLITE_OK
}

unsafe extern "C" fn open<T: TableFunction>(
    _table: *mut ext::sqlite3_vtab,
    cursor: *mut *mut ext::sqlite3_vtab_cursor,
) -> c_int {
    let owned = Box::new(Cursor::<T> { base: ext::sqlite3_vtab_cursor::default(), scan: None });
    // SAFETY: `cursor` is where SQLite expects the new cursor.
    unsafe { *cursor = Box::into_raw(owned).cast() };
    SQLITE_OK
}

unsafe extern "C" fn close<T: TableFunction>(cursor: *mut ext::sqlite3_vtab_cursor) -> c_int {
    // SAFETY: `open` made it, and SQLite ends it here.
    unsafe { destroy::<Cursor<T>>(cursor.cast()) };
    SQLITE_OK
}

unsafe extern "C" fn filter<T: TableFunction>(
    cursor: *mut ext::sqlite3_vtab_cursor,
    given: c_int,
    _: *const c_char,
    argc: c_int,
    argv: *mut *mut ext::sqlite3_value,
) -> c_int {
    // SAFETY: the contract of `super`.
    unsafe {
        on_cursor::<T>("xFilter", cursor, |cursor: &mut Cursor<T>, table| {
            cursor.scan = None;
            let arguments = arguments::<T>(given, value::passed(argc, argv).all()?)?;
            let rows = table.function.open(&table.database, Arguments(&arguments))?;
            let mut scan = Scan::<T> { arguments, rows, current: None, rowid: 0 };
            scan.current = scan.rows.next(&table.database, Arguments(&scan.arguments))?;
            cursor.scan = Some(scan);
            Ok(())
        })
    }
}

/// Puts the arguments that were given at their places.
fn arguments<T: TableFunction>(given: c_int, values: Vec<Value>) -> Result<Vec<Value>> {
    let mut values = values.into_iter();
    let is_given = |index: usize| given & (1 << index) != 0;
    if let Some(missing) = (0..T::REQUIRED).find(|&index| !is_given(index)) {
        return Err(Error::argument(format!(
            "{name}({list}): the argument {missing} is missing",
            name = T::NAME,
            list = T::ARGUMENTS.join(", "),
            missing = T::ARGUMENTS.get(missing).unwrap_or(&"?"),
        )));
    }
    Ok((0..T::ARGUMENTS.len())
        .map(|index| if is_given(index) { values.next().unwrap_or(Value::Null) } else { Value::Null })
        .collect())
}

unsafe extern "C" fn next<T: TableFunction>(cursor: *mut ext::sqlite3_vtab_cursor) -> c_int {
    // SAFETY: the contract of `super`.
    unsafe {
        on_cursor::<T>("xNext", cursor, |cursor: &mut Cursor<T>, table| {
            let Some(scan) = &mut cursor.scan else { return Ok(()) };
            // Rows that failed are at their end: the next call must not find the row before.
            scan.current = None;
            scan.current = scan.rows.next(&table.database, Arguments(&scan.arguments))?;
            scan.rowid += 1;
            Ok(())
        })
    }
}

unsafe extern "C" fn eof<T: TableFunction>(cursor: *mut ext::sqlite3_vtab_cursor) -> c_int {
    // SAFETY: the contract of `super`.
    let cursor = unsafe { &*cursor.cast::<Cursor<T>>() };
    c_int::from(cursor.scan.as_ref().is_none_or(|scan| scan.current.is_none()))
}

unsafe extern "C" fn column<T: TableFunction>(
    cursor: *mut ext::sqlite3_vtab_cursor,
    context: *mut ext::sqlite3_context,
    index: c_int,
) -> c_int {
    // SAFETY: the contract of `super`.
    let cursor = unsafe { &*cursor.cast::<Cursor<T>>() };
    let cell = guard("xColumn", || Ok(cursor.cell(usize::try_from(index).unwrap_or(usize::MAX))));
    // SAFETY: `context` is the one of this call.
    unsafe { value::finish(context, cell.as_ref().map(|cell| *cell).map_err(Clone::clone)) };
    SQLITE_OK
}

unsafe extern "C" fn rowid<T: TableFunction>(
    cursor: *mut ext::sqlite3_vtab_cursor,
    rowid: *mut i64,
) -> c_int {
    // SAFETY: the contract of `super`.
    unsafe { *rowid = (*cursor.cast::<Cursor<T>>()).scan.as_ref().map_or(0, |scan| scan.rowid) };
    SQLITE_OK
}

/// Runs `body` on a cursor and its table, and leaves an error's message with the table.
///
/// # Safety
/// `cursor` is one that `open::<T>` made.
unsafe fn on_cursor<T: TableFunction>(
    callback: &str,
    cursor: *mut ext::sqlite3_vtab_cursor,
    body: impl FnOnce(&mut Cursor<T>, &'static Table<T>) -> Result<()>,
) -> c_int {
    // SAFETY: the caller's contract; SQLite keeps the table of an open cursor.
    let table = unsafe { (*cursor).pVtab };
    let outcome = guard(callback, || {
        // SAFETY: as above: to what a cursor holds, its table is `'static`. `body` may run SQL that opens other cursors on
        // the same table, none that uses this one.
        let (cursor, table) = unsafe { (&mut *cursor.cast::<Cursor<T>>(), &*table.cast::<Table<T>>()) };
        body(cursor, table)
    });
    match outcome {
        Ok(()) => SQLITE_OK,
        // SAFETY: SQLite takes the message from there after the callback.
        Err(error) => unsafe { report(ptr::addr_of_mut!((*table).zErrMsg), &error) },
    }
}

/// Leaves `error`'s text where SQLite looks for it, and gives its code.
///
/// # Safety
/// `place` may be written, and SQLite frees what is there.
unsafe fn report(place: *mut *mut c_char, error: &Error) -> c_int {
    // The text is data, but `sqlite3_mprintf` takes a format.
    let text = error.to_string().replace('%', "%%");
    if let Ok(text) = CString::new(text) {
        // SAFETY: the caller's contract; without conversions the format needs no arguments.
        unsafe { *place = ext::sqlite3ext_mprintf(text.as_ptr()) };
    }
    error.code()
}
