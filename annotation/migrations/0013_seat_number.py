"""An assignment has a seat number. What was called its seat is the number alone."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("annotation", "0012_mail_queue")]

    operations = [
        migrations.RemoveIndex(model_name="assignment", name="next_empty_seat"),
        migrations.RemoveConstraint(model_name="assignment", name="one_holder_per_seat"),
        migrations.RenameField(model_name="assignment", old_name="seat", new_name="seat_number"),
        migrations.AddConstraint(
            model_name="assignment",
            constraint=models.UniqueConstraint(
                fields=["task", "seat_number"],
                condition=Q(status__in=["empty", "held", "done"]),
                name="one_holder_per_seat",
            ),
        ),
        migrations.AddIndex(
            model_name="assignment",
            index=models.Index(
                fields=["project", "-priority", "seat_number", "task"],
                condition=Q(status="empty"),
                name="next_empty_seat",
            ),
        ),
    ]
