import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("annotation", "0034_completions_have_a_project")]

    operations = [
        migrations.AddField(
            model_name="project",
            name="answer_tokens",
            field=models.PositiveIntegerField(
                default=24,
                help_text=(
                    "Every stage of a round cuts the model's answers at this length, unless its own settings differ."
                ),
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(4096),
                ],
                verbose_name="longest answer, in tokens",
            ),
        ),
        migrations.AddField(
            model_name="project",
            name="temperature",
            field=models.FloatField(
                default=0.9,
                help_text="At which every stage of a round draws answers, unless its own settings differ.",
                validators=[
                    django.core.validators.MinValueValidator(0.01),
                    django.core.validators.MaxValueValidator(5),
                ],
            ),
        ),
    ]
