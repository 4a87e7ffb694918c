from sqlalchemy import text

from marketplace.database import Database


def test_a_transaction_that_raises_leaves_nothing_behind(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(text("CREATE TABLE probe (n INTEGER)"))
    try:
        with database.writing() as connection:
            connection.execute(text("INSERT INTO probe VALUES (1)"))
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    with database.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM probe")).scalar() == 0
