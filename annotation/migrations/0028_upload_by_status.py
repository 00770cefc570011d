from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("annotation", "0027_first_admin_and_mailed_invitations")]

    operations = [
        migrations.AddIndex(
            model_name="promptupload",
            index=models.Index(fields=["status", "created_at"], name="upload_by_status"),
        ),
    ]
